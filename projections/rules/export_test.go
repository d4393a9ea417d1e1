package rules

// Bounds gives from when to when the i-th instant may lie, both included.
func (s *Span) Bounds(i int) (from, to int64) { return s.from[i], s.to[i] }

// Holds tells whether instants lie within.
func (s *Span) Holds(instants []int64) bool { return s.holds(instants) }
