package phone

import (
	"hash/maphash"
	"sync"
)

// answer is what readReduced said.
type answer struct {
	number  Number
	problem *UnreadableError
}

const (
	memoShards   = 16
	memoShardMax = 4096 // entries of one generation of one shard
)

// memo remembers slow answers (about 50 µs each), so that a list that repeats
// its foreign numbers, or a hostile one, costs the library once. Bounded: each
// shard keeps two generations and forgets the older when the newer is full. It
// lives in memory only and is never printed. Safe for concurrent use.
type memo struct {
	seed   maphash.Seed
	shards [memoShards]memoShard
}

type memoShard struct {
	mu         sync.Mutex
	young, old map[string]answer
}

func newMemo() *memo { return &memo{seed: maphash.MakeSeed()} }

func (m *memo) shard(key string) *memoShard {
	return &m.shards[maphash.String(m.seed, key)%memoShards]
}

func (m *memo) get(key string) (answer, bool) {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.young[key]; ok {
		return a, true
	}
	a, ok := s.old[key]
	if ok {
		s.add(key, a) // still in use: keep it through the next turn
	}
	return a, ok
}

func (m *memo) put(key string, a answer) {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(key, a)
}

func (s *memoShard) add(key string, a answer) {
	if s.young == nil || len(s.young) >= memoShardMax {
		s.old, s.young = s.young, make(map[string]answer)
	}
	s.young[key] = a
}
