package objects

// WithoutTmpfile makes the store act as on a file system without O_TMPFILE.
func (s *Store) WithoutTmpfile() { s.noTmpfile.Store(true) }
