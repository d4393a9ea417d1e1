package store

// Key spaces of every Pebble database of the program: the first byte of each
// key. Numbers are never reused; all integers are big-endian, so that byte
// order is number order. A token is 17 bytes (version byte and AES block).
//
// Database `index` (what the writer must know exactly; rebuilt from the streams):
//
//	space        key after the space byte          value
//	meta         name                              by name
//	idempotency  idempotency hash (16)             position, entry id, leaf, recorded_at, content
//	token        token, person (16)                open flag
//	person       person (16)                       sequence, head leaf, head position, erased at
//	commit       first position (8)                stream sequence (8)
//	key          person (16), class (1)            epoch, key id, wrapped key
//	catalog      kind (1), id                      registered sellers, programmes, campaigns, sources
//
// Database `projections` (disposable):
//
//	meta         projection name                   version, applied position, stream sequence
//	state        token, seller                     SuppressionState; seller `all` is everybody's
//	timeline     token, position (8)               entry's clear summary
//	listing      kind (1), id                      sellers, campaigns, sources, pauses
//	registry     registry id, 0x00, version date, 0x00, number >> 12   sealed block
//	registrymeta registry id                       versions
const (
	SpaceMeta byte = 0x01

	SpaceIdempotency byte = 0x10
	SpaceToken       byte = 0x11
	SpacePerson      byte = 0x12
	SpaceCommit      byte = 0x13
	SpaceKey         byte = 0x14
	SpaceCatalog     byte = 0x15

	SpaceState        byte = 0x20
	SpaceTimeline     byte = 0x21
	SpaceListing      byte = 0x22
	SpaceRegistry     byte = 0x23
	SpaceRegistryMeta byte = 0x24
)
