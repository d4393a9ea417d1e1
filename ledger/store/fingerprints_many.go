package store

// MayHoldMany is MayHold of many keys, in less than half the time: each shard is locked once, and
// what the answers lie in is fetched for all of its keys before the first is looked for, so
// that the processor waits for memory once and not for each. may has as many places as keys.
func (f *Fingerprints) MayHoldMany(keys []uint32, may []bool) {
	if !f.ready.Load() {
		for i := range keys {
			may[i] = true
		}
		return
	}
	var ends [fingerprintShards + 1]int // of the keys of each shard in order; its beginning is the end before
	for _, k := range keys {
		ends[k>>24+1]++
	}
	for i := range fingerprintShards {
		ends[i+1] += ends[i]
	}
	begins := ends
	order := make([]uint32, len(keys))
	for i, k := range keys {
		at := &begins[k>>24]
		order[*at] = uint32(i)
		*at++
	}
	for i := range f.shards {
		if part := order[ends[i]:ends[i+1]]; len(part) > 0 {
			f.mayHoldOfShard(i, part, keys, may)
		}
	}
}

// mayHoldOfShard answers for the keys of one shard, by their places.
func (f *Fingerprints) mayHoldOfShard(shard int, part, keys []uint32, may []bool) {
	s := &f.shards[shard]
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.pages == nil {
		for _, i := range part {
			may[i] = false
		}
		return
	}
	var near uint16
	for _, i := range part {
		if p := s.pages[byte(keys[i]>>16)]; len(p) > 0 {
			near ^= p[len(p)*int(uint16(keys[i]))>>16]
		}
	}
	for _, i := range part {
		_, found := s.pages[byte(keys[i]>>16)].find(uint16(keys[i]))
		may[i] = found
	}
	fetched(near)
}

// fetched keeps the compiler from leaving out what was read only to have it near.
//
//go:noinline
func fetched(uint16) {}
