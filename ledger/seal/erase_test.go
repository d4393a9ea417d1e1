package seal

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// eraseWorld is a bucket with a person to erase and one to keep, and the index
// and stream such as an eavesdropper who copies everything would have them.
type eraseWorld struct {
	dir            string
	ring           *Keyring
	erased, kept   ledger.PersonID
	stream         []*consentv1.WrappedKey // every wrapping ever published
	index          map[string]*consentv1.WrappedKey
	secret, public *consentv1.SealedPart
}

func newEraseWorld(t *testing.T) *eraseWorld {
	dir := filepath.Join(t.TempDir(), "keys")
	ring, err := Create(dir)
	must(t, err)
	w := &eraseWorld{dir: dir, ring: ring, erased: DrawPerson(), index: map[string]*consentv1.WrappedKey{}}
	w.kept = w.erased // same bucket, other person
	w.kept[15]++
	seal := func(p ledger.PersonID) *consentv1.SealedPart {
		k := DrawKey(p, words)
		wk, err := ring.Wrap(k)
		must(t, err)
		w.publish(&consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{wk}})
		s, err := SealPart(k, ledger.EntryID{}, Part{Class: words, Field: "24.3", Value: []byte("stop")})
		must(t, err)
		return s
	}
	w.secret, w.public = seal(w.erased), seal(w.kept)
	return w
}

func (w *eraseWorld) publish(m *consentv1.WrappedKeys) {
	for _, k := range m.GetKeys() {
		w.stream = append(w.stream, k)
		w.index[string(k.GetPerson())+string(k.GetKeyId())] = k
	}
}

func (w *eraseWorld) keysOf(uint16) iter.Seq2[*consentv1.WrappedKey, error] {
	return func(yield func(*consentv1.WrappedKey, error) bool) {
		for _, k := range w.index {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// reopen is a restart: only files remain.
func (w *eraseWorld) reopen(t *testing.T) {
	t.Helper()
	r, err := Open(w.dir)
	must(t, err)
	w.ring = r
}

// opens tries every wrapping ever published on a part.
func (w *eraseWorld) opens(s *consentv1.SealedPart) bool {
	for _, wk := range w.stream {
		k, err := w.ring.Unwrap(wk)
		if err != nil {
			continue
		}
		if _, err := OpenPart(k, ledger.EntryID{}, s); err == nil {
			return true
		}
	}
	return false
}

// indexOpens tries what the index knows: what disclosure would use.
func (w *eraseWorld) indexOpens(s *consentv1.SealedPart, p ledger.PersonID) error {
	k, err := w.ring.Unwrap(w.index[string(p[:])+string(s.GetKeyId())])
	if err != nil {
		return err
	}
	_, err = OpenPart(k, ledger.EntryID{}, s)
	return err
}

var errCrash = errors.New("crash")

// erase runs Destroy and cuts it off: before anything is published, when all is
// published, or not at all.
func (w *eraseWorld) erase(crash string, persons ...ledger.PersonID) error {
	return w.ring.Destroy(persons, w.keysOf, func(m *consentv1.WrappedKeys) error {
		if crash == "new epoch" {
			return errCrash
		}
		w.publish(m)
		if crash == "published" {
			return errCrash
		}
		return nil
	})
}

func TestDestroyAtEveryCrash(t *testing.T) {
	for _, crashes := range [][]string{{}, {"new epoch"}, {"published"}, {"published", "published"}, {"new epoch", "published"}} {
		t.Run(fmt.Sprint(crashes), func(t *testing.T) {
			w := newEraseWorld(t)
			for _, crash := range crashes {
				if err := w.erase(crash, w.erased); !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				w.reopen(t)
				if !w.opens(w.secret) || !w.opens(w.public) {
					t.Fatal("half an erasure lost a key")
				}
				if err := w.indexOpens(w.public, w.kept); err != nil {
					t.Fatalf("the survivor after half an erasure: %v", err)
				}
			}
			for range 2 { // and once more: the dead key is passed over, the survivor stays
				must(t, w.erase("", w.erased))
				w.reopen(t)
				w.mustBeErased(t)
			}
		})
	}
}

// mustBeErased: no copy of anything published opens the erased person's part.
func (w *eraseWorld) mustBeErased(t *testing.T) {
	t.Helper()
	if w.opens(w.secret) {
		t.Fatal("some wrapping still opens what was erased")
	}
	if err := w.indexOpens(w.secret, w.erased); !errors.Is(err, ErrErased) {
		t.Fatalf("the erased person: %v, want ErrErased", err)
	}
	if err := w.indexOpens(w.public, w.kept); err != nil {
		t.Fatalf("the survivor: %v", err)
	}
	if b := w.ring.epochs.Load().buckets[w.kept.Bucket()]; len(b) != 1 {
		t.Fatalf("%d live epochs", len(b))
	}
}

// TestSecondPersonBetweenCrashAndRepeat: the epoch that a broken erasure left may
// hold the key of someone who is erased only later.
func TestSecondPersonBetweenCrashAndRepeat(t *testing.T) {
	w := newEraseWorld(t)
	if err := w.erase("published", w.erased); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	w.reopen(t)
	before := len(w.stream)
	must(t, w.erase("", w.erased, w.kept))
	if len(w.stream) != before {
		t.Fatal("an erased person's key was wrapped anew")
	}
	if w.opens(w.secret) || w.opens(w.public) {
		t.Fatal("an erased person's part opens")
	}
}

func TestEraseErrorsDestroyNothing(t *testing.T) {
	t.Run("a survivor's key is damaged", func(t *testing.T) {
		w := newEraseWorld(t)
		for _, k := range w.index {
			if ledger.PersonID(k.GetPerson()) == w.kept {
				k.Wrapped[40] ^= 1
			}
		}
		if err := w.erase("", w.erased); !errors.Is(err, ErrNotOpened) {
			t.Fatalf("erase: %v", err)
		}
		if w.reopen(t); !w.opens(w.secret) {
			t.Fatal("something was destroyed")
		}
	})
	t.Run("the index breaks off", func(t *testing.T) {
		w, broken := newEraseWorld(t), errors.New("disk")
		err := w.ring.Destroy([]ledger.PersonID{w.erased}, func(uint16) iter.Seq2[*consentv1.WrappedKey, error] {
			return func(yield func(*consentv1.WrappedKey, error) bool) { yield(nil, broken) }
		}, nil)
		if !errors.Is(err, broken) {
			t.Fatalf("erase: %v", err)
		}
	})
	t.Run("the epochs file cannot be written", func(t *testing.T) {
		w := newEraseWorld(t)
		must(t, os.Mkdir(filepath.Join(w.dir, EpochsFile+".tmp"), 0o700))
		if err := w.erase("", w.erased); err == nil {
			t.Fatal("erased without a file")
		}
		if w.ring.Live(w.erased.Bucket(), 2) {
			t.Fatal("an epoch is in use that is not on disk")
		}
	})
}

func TestMessagesAreBounded(t *testing.T) {
	w := newEraseWorld(t)
	for range keysPerMessageMax {
		wk, err := w.ring.Wrap(DrawKey(w.kept, words))
		must(t, err)
		w.publish(&consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{wk}})
	}
	var sizes []int
	must(t, w.ring.Destroy([]ledger.PersonID{w.erased}, w.keysOf, func(m *consentv1.WrappedKeys) error {
		sizes = append(sizes, len(m.GetKeys()))
		return nil
	}))
	if len(sizes) != 2 || sizes[0] != keysPerMessageMax || sizes[1] != 1 {
		t.Fatalf("messages of %v keys", sizes)
	}
}

func TestEpochsComeBack(t *testing.T) {
	a, err := newEpochTable()
	must(t, err)
	must(t, a.add(0))
	must(t, a.add(4095))
	b, err := decodeEpochs(a.encode())
	must(t, err)
	if string(a.encode()) != string(b.encode()) || len(b.buckets[4095]) != 2 {
		t.Fatal("another table comes back")
	}
	raw := a.encode()
	for _, damaged := range [][]byte{nil, raw[:1], raw[:len(raw)-1], append(raw, 0), append([]byte{9}, raw[1:]...)} {
		if _, err := decodeEpochs(damaged); !errors.Is(err, errEpochsDamaged) {
			t.Errorf("%d bytes: %v", len(damaged), err)
		}
	}
}
