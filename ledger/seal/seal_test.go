package seal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testRing(t testing.TB) *Keyring {
	t.Helper()
	r, err := Create(filepath.Join(t.TempDir(), "keys"))
	must(t, err)
	return r
}

// TestOnlySingularStringsAndBytesArePersonal walks the whole contract.
func TestOnlySingularStringsAndBytesArePersonal(t *testing.T) {
	found := 0
	files := (&consentv1.Fact{}).ProtoReflect().Descriptor().ParentFile()
	for i := range files.Messages().Len() {
		walk(files.Messages().Get(i), func(fd protoreflect.FieldDescriptor) {
			if ClassOf(fd) == 0 {
				return
			}
			found++
			if fd.IsList() || fd.IsMap() || (fd.Kind() != protoreflect.StringKind && fd.Kind() != protoreflect.BytesKind) {
				t.Errorf("%s is personal and no singular string or bytes field", fd.FullName())
			}
		})
	}
	if found < 20 {
		t.Errorf("only %d personal fields found", found)
	}
}

// TestPlanReachesEveryPersonalField: none hides behind a list, a map or a
// recursive message, where Split would not look.
func TestPlanReachesEveryPersonalField(t *testing.T) {
	var reach func(md protoreflect.MessageDescriptor, path []protoreflect.FullName)
	reach = func(md protoreflect.MessageDescriptor, path []protoreflect.FullName) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			if fd.Message() == nil {
				continue
			}
			for _, p := range path {
				if p == fd.Message().FullName() {
					t.Fatalf("%s is recursive", fd.FullName())
				}
			}
			if fd.IsList() || fd.IsMap() {
				walk(fd.Message(), func(in protoreflect.FieldDescriptor) {
					if ClassOf(in) != 0 {
						t.Errorf("%s is personal inside the list %s", in.FullName(), fd.FullName())
					}
				})
				continue
			}
			reach(fd.Message(), append(path, fd.Message().FullName()))
		}
	}
	reach((&consentv1.Fact{}).ProtoReflect().Descriptor(), nil)
}

func walk(md protoreflect.MessageDescriptor, visit func(protoreflect.FieldDescriptor)) {
	for i := range md.Fields().Len() {
		visit(md.Fields().Get(i))
	}
}

func fullGrant() *consentv1.Fact {
	return &consentv1.Fact{
		Number: "+12025550143", Source: "crm", EventId: "e-1", OccurredOn: "2026-01-02", Sellers: []string{"acme"},
		Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{
			Level: "express_written", ExpiresOn: "2027-01-02",
			Evidence: &consentv1.Evidence{Name: "A. Person", Ip: "192.0.2.1", Signature: "A. P.", Words: "yes", Method: "web_form"},
		}},
	}
}

func TestSplitAndRestore(t *testing.T) {
	whole := fullGrant()
	before := proto.CloneOf(whole)
	clear, parts := Split(whole)
	if d := cmp.Diff(before, whole, protocmp.Transform()); d != "" {
		t.Fatalf("Split changed its fact:\n%s", d)
	}
	var fields []string
	for _, p := range parts {
		fields = append(fields, p.Field)
	}
	if d := cmp.Diff([]string{"1", "4", "6", "21.4", "21.5.3", "21.5.4", "21.5.6", "21.5.9"}, fields); d != "" {
		t.Fatalf("fields (-want +got):\n%s", d)
	}
	text := clear.String()
	for _, secret := range []string{"5550143", "e-1", "A. P", "192.0.2.1", "yes", "2027-01-02"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q stayed in clear", secret)
		}
	}
	if clear.GetConsentGranted().GetEvidence().GetMethod() != "web_form" {
		t.Error("a clear field is gone")
	}
	must(t, Restore(clear, parts))
	if d := cmp.Diff(before, clear, protocmp.Transform()); d != "" {
		t.Fatalf("Restore is not the inverse:\n%s", d)
	}
}

// TestSplitEveryField fills every kind's every personal field and wants all back.
func TestSplitEveryField(t *testing.T) {
	for path, steps := range factPlan().byField {
		f := &consentv1.Fact{}
		m, last := f.ProtoReflect(), len(steps)-1
		for _, fd := range steps[:last] {
			m = m.Mutable(fd).Message()
		}
		if steps[last].Kind() == protoreflect.BytesKind {
			m.Set(steps[last], protoreflect.ValueOfBytes([]byte("secret")))
		} else {
			m.Set(steps[last], protoreflect.ValueOfString("secret"))
		}
		clear, parts := Split(f)
		if len(parts) != 1 || parts[0].Field != path || string(parts[0].Value) != "secret" || strings.Contains(clear.String(), "secret") {
			t.Errorf("field %s: parts %v, clear %v", path, parts, clear)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	number := consentv1.PersonalClass_PERSONAL_CLASS_NUMBER
	for name, p := range map[string]Part{
		"no field":            {Class: number, Field: "999"},
		"no personal field":   {Class: number, Field: "3"},
		"another class":       {Class: consentv1.PersonalClass_PERSONAL_CLASS_WORDS, Field: "1"},
		"another kind's part": {Class: consentv1.PersonalClass_PERSONAL_CLASS_WORDS, Field: "24.3"},
	} {
		if err := Restore(fullGrant(), []Part{p}); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
}

const words = consentv1.PersonalClass_PERSONAL_CLASS_WORDS

func TestSealPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := ledger.EntryID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "entry"))
		k := DrawKey(DrawPerson(), words)
		p := Part{Class: words, Field: "24.3", Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value")}
		s, err := SealPart(k, id, p)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.GetSealed()) != len(p.Value)+PartOverheadBytes {
			t.Fatalf("%d sealed bytes for %d", len(s.GetSealed()), len(p.Value))
		}
		o, err := OpenPart(k, id, s)
		if err != nil || !bytes.Equal(o.Value, p.Value) || o.Verify(s) != nil {
			t.Fatalf("opened %q: %v", o.Value, err)
		}
	})
}

func TestSealPartIsBoundToItsPlace(t *testing.T) {
	k := DrawKey(DrawPerson(), words)
	id := ledger.EntryID{1}
	for name, change := range map[string]func(k *PersonKey, id *ledger.EntryID, s *consentv1.SealedPart){
		"other entry":      func(_ *PersonKey, id *ledger.EntryID, _ *consentv1.SealedPart) { id[0]++ },
		"other person":     func(k *PersonKey, _ *ledger.EntryID, _ *consentv1.SealedPart) { k.Person[0]++ },
		"other key":        func(k *PersonKey, _ *ledger.EntryID, _ *consentv1.SealedPart) { k.key[0]++ },
		"other key id":     func(k *PersonKey, _ *ledger.EntryID, _ *consentv1.SealedPart) { k.ID[0]++ },
		"other field":      func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Field = "24.4" },
		"other class":      func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Class++ },
		"other commitment": func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Commitment[0]++ },
		"other byte":       func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Sealed[30]++ },
		"too short":        func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Sealed = s.Sealed[:20] },
		"in a file":        func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Sealed = nil },
	} {
		s, err := SealPart(k, id, Part{Class: words, Field: "24.3", Value: []byte("stop")})
		must(t, err)
		k, id := k, id
		change(&k, &id, s)
		if _, err := OpenPart(k, id, s); !errors.Is(err, ErrNotOpened) {
			t.Errorf("%s: %v, want ErrNotOpened", name, err)
		}
	}
	if _, err := SealPart(k, id, Part{Class: words + 1, Field: "1"}); err == nil {
		t.Error("a key seals another class")
	}
}

// TestCommitmentHasOneOpening: moving bytes between field, salt and value is
// another commitment; without the length it was not.
func TestCommitmentHasOneOpening(t *testing.T) {
	salt := [SaltBytes]byte{}
	copy(salt[:], strings.Repeat("s", SaltBytes))
	a := Commitment(words, "24.3", salt, []byte("sx"))
	shifted := salt
	copy(shifted[:], "3"+strings.Repeat("s", SaltBytes-1))
	if b := Commitment(words, "24.", shifted, []byte("ssx")); a == b {
		t.Error("one commitment, two openings")
	}
}

func TestTokenOfAnEntry(t *testing.T) {
	r := testRing(t)
	x, err := r.Exchange("+441632960001")
	must(t, err)
	id, p := ledger.EntryID{7}, DrawPerson()
	e := &consentv1.Entry{EntryId: id[:], Person: p[:], Token: r.SealToken(id, p, x)}
	gotX, gotT, err := r.OpenToken(e)
	if err != nil || gotX != x || gotT != r.Token(x) {
		t.Fatalf("opened %x %x: %v", gotX, gotT, err)
	}
	system := &consentv1.Entry{EntryId: id[:], Token: r.SealToken(id, ledger.PersonID{}, x)}
	if gotX, _, err := r.OpenToken(system); err != nil || gotX != x {
		t.Fatalf("a token without a person: %v", err)
	}
	if gotX, gotT, err := r.OpenToken(&consentv1.Entry{EntryId: id[:]}); err != nil || !gotX.IsZero() || !gotT.IsZero() {
		t.Fatalf("an entry without a token: %v", err)
	}
	for name, change := range map[string]func(){
		"other person": func() { e.Person = bytes.Repeat([]byte{1}, 16) },
		"short person": func() { e.Person = []byte{1} },
		"short id":     func() { e.EntryId = []byte{1} },
		"short token":  func() { e.Token = []byte{1} },
	} {
		change()
		if _, _, err := r.OpenToken(e); !errors.Is(err, ErrNotOpened) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBlobsAndBlocks(t *testing.T) {
	r := testRing(t)
	blob := r.SealBlob("inbox/1", []byte("stop it"))
	if got, err := r.OpenBlob("inbox/1", blob); err != nil || string(got) != "stop it" {
		t.Fatalf("opened %q: %v", got, err)
	}
	if _, err := r.OpenBlob("inbox/2", blob); !errors.Is(err, ErrNotOpened) {
		t.Errorf("opened elsewhere: %v", err)
	}
	one, err := r.SealBlock([]byte("k1"), []byte("numbers"))
	must(t, err)
	two, err := r.SealBlock([]byte("k1"), []byte("numbers"))
	must(t, err)
	if !bytes.Equal(one, two) {
		t.Error("equal blocks, different bytes")
	}
	if got, err := r.OpenBlock([]byte("k1"), one); err != nil || string(got) != "numbers" {
		t.Fatalf("opened %q: %v", got, err)
	}
	if _, err := r.OpenBlock([]byte("k2"), one); !errors.Is(err, ErrNotOpened) {
		t.Errorf("a block opens under another key: %v", err)
	}
}

func TestHashes(t *testing.T) {
	r := testRing(t)
	a := r.Idempotency("crm", "12")
	if a != r.Idempotency("crm", "12") {
		t.Error("one event, two keys")
	}
	if a == r.Idempotency("crm1", "2") || a == testRing(t).Idempotency("crm", "12") {
		t.Error("two events, one key")
	}
	if c := r.ContentMAC([]byte{1}); c == r.ContentMAC([]byte{2}) || r.ConflictKey(a, c) == r.ConflictKey(c, a) {
		t.Error("two contents, one hash")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if r.Idempotency("crm", "12") != a {
					t.Error("another key in another goroutine")
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestNothingPrintsKeys guards promise 8 against a careless %v.
func TestNothingPrintsKeys(t *testing.T) {
	k := DrawKey(DrawPerson(), words)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := sprintf(format, k); strings.Contains(s, sprintf("%x", k.key[:])) || strings.Contains(s, sprintf("%v", k.key[:4])[1:8]) {
			t.Errorf("%s prints the key: %s", format, s)
		}
		if s := sprintf(format, testRing(t)); !strings.HasPrefix(s, "keyring of ledger ") {
			t.Errorf("%s prints %s", format, s)
		}
	}
}

func FuzzOpen(f *testing.F) {
	r := testRing(f)
	k := DrawKey(DrawPerson(), words)
	f.Add([]byte("x"), []byte("y"), []byte("24.3"))
	f.Fuzz(func(t *testing.T, sealed, other []byte, field []byte) {
		s := &consentv1.SealedPart{Class: words, Field: string(field), KeyId: k.ID[:], Commitment: other, Sealed: sealed}
		if _, err := OpenPart(k, ledger.EntryID{}, s); err == nil {
			t.Fatal("opened what nobody sealed")
		}
		if _, err := r.Unwrap(&consentv1.WrappedKey{Person: field, KeyId: other, Epoch: 1, Wrapped: sealed}); err == nil {
			t.Fatal("unwrapped what nobody wrapped")
		}
		if _, _, err := r.OpenToken(&consentv1.Entry{EntryId: field, Person: other, Token: sealed}); err == nil && len(sealed) > 0 {
			t.Fatal("opened a token nobody sealed")
		}
		if _, err := decodeEpochs(sealed); err == nil {
			t.Fatal("read epochs nobody wrote")
		}
	})
}

func BenchmarkSealFact(b *testing.B) {
	f, keys := fullGrant(), map[consentv1.PersonalClass]PersonKey{}
	for c := range consentv1.PersonalClass_name {
		keys[consentv1.PersonalClass(c)] = DrawKey(DrawPerson(), consentv1.PersonalClass(c))
	}
	b.ReportAllocs()
	for b.Loop() {
		_, parts := Split(f)
		for _, p := range parts {
			if _, err := SealPart(keys[p.Class], ledger.EntryID{}, p); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkSealPart(b *testing.B) {
	k, p := DrawKey(DrawPerson(), words), Part{Class: words, Field: "24.3", Value: []byte("STOP calling me")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := SealPart(k, ledger.EntryID{}, p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenToken(b *testing.B) {
	r := testRing(b)
	x, err := r.Exchange("+12025550143")
	must(b, err)
	var p ledger.PersonID
	e := &consentv1.Entry{EntryId: make([]byte, 16), Person: p[:], Token: r.SealToken(ledger.EntryID{}, p, x)}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.OpenToken(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDrawAndWrap(b *testing.B) {
	r, p := testRing(b), DrawPerson()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Wrap(DrawKey(p, words)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIdempotency(b *testing.B) {
	r := testRing(b)
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Idempotency("crm", "event-000000000001")
	}
}

func TestKeyringFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	r, err := Create(dir)
	must(t, err)
	again, err := Open(dir)
	must(t, err)
	if again.LedgerID() != r.LedgerID() || again.JetStreamKey() != r.JetStreamKey() || len(r.JetStreamKey()) != 64 {
		t.Error("another keyring comes back")
	}
	for _, name := range []string{KEKFile, KeyringFile, EpochsFile} {
		fi, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, fi.Mode())
		}
	}
	if _, err := Create(dir); !errors.Is(err, ErrKeysExist) {
		t.Errorf("second create: %v", err)
	}
	must(t, os.Remove(filepath.Join(dir, KEKFile)))
	if _, err := Create(dir); !errors.Is(err, ErrKeysExist) {
		t.Errorf("create beside half a keyring: %v", err)
	}
}

func TestOpenSaysWhichFileAndWhatToDo(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "keys")
	if _, err := Create(foreign); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   error
		text   []string
	}{
		{"no folder", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, ErrNoKeys, []string{KEKFile, "consent init"}},
		{"no keyring", removeFile(KeyringFile), nil, []string{KeyringFile, "backup"}},
		{"no epochs", removeFile(EpochsFile), nil, []string{EpochsFile, "backup"}},
		{"KEK of another ledger", copyFrom(foreign, KEKFile), ErrWrongKEK, []string{KeyringFile, "backup"}},
		{"epochs of another ledger", copyFrom(foreign, EpochsFile), ErrWrongKEK, []string{EpochsFile, "backup"}},
		{"keyring in place of epochs", func(t *testing.T, dir string) { copyFile(t, dir, KeyringFile, dir, EpochsFile) }, ErrWrongKEK, []string{EpochsFile}},
		{"KEK damaged", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, KEKFile), []byte("{}"), 0o600))
		}, nil, []string{KEKFile, "restore"}},
		{"one bit of epochs", func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, EpochsFile))
			must(t, err)
			b[len(b)/2] ^= 1
			must(t, os.WriteFile(filepath.Join(dir, EpochsFile), b, 0o600))
		}, ErrWrongKEK, []string{EpochsFile}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			_, err := Create(dir)
			must(t, err)
			tc.damage(t, dir)
			_, err = Open(dir)
			if err == nil || (tc.want != nil && !errors.Is(err, tc.want)) {
				t.Fatalf("open: %v, want %v", err, tc.want)
			}
			for _, s := range tc.text {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

func removeFile(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, name))) }
}

func copyFrom(from, name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { copyFile(t, from, name, dir, name) }
}

func copyFile(t *testing.T, fromDir, from, toDir, to string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(fromDir, from))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(toDir, to), b, 0o600))
}

// TestRandomIsNeverHandedOutTwice, whatever sizes are drawn and by how many.
func TestRandomIsNeverHandedOutTwice(t *testing.T) {
	var mu sync.Mutex
	seen := map[[8]byte]bool{}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				b := make([]byte, 8+(i*31+w)%(randomBytes+100))
				random(b)
				mu.Lock()
				for at := 0; at+8 <= len(b); at += 8 {
					word := [8]byte(b[at:])
					if seen[word] || word == ([8]byte{}) {
						t.Errorf("draw %d of %d bytes repeats itself or is empty", i, len(b))
					}
					seen[word] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
