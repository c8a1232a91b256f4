package engine

// The rows of the table are made with these; each family's are in its file.

func read(arity, first, last, step int) *spec {
	return &spec{arity: arity, first: first, last: last, step: step}
}

func write(arity, first, last, step int, f flags) *spec {
	return &spec{arity: arity, flags: fWrite | f, first: first, last: last, step: step}
}

func (s *spec) with(run func(c *call)) *spec { s.run = run; return s }
func (s *spec) short(plain func(q *plainRead) bool) *spec {
	s.plain = plain
	return s
}
func (s *spec) unsure() *spec { s.flags |= fUnsure; return s }
func (s *spec) keyed(k func([]string) []string) *spec {
	s.keys = k
	return s
}
