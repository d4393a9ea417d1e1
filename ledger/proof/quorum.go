package proof

// Quorum is how far the witnesses of a policy vouch for one checkpoint.
type Quorum struct {
	// Asked is how many witnesses the policy names, Cosigned how many of them signed
	// this checkpoint.
	Asked, Cosigned int
	// Demanded is the fewest that can satisfy the policy. Where it has groups, so many
	// may still be the wrong ones: Satisfied tells.
	Demanded  int
	Satisfied bool
}
