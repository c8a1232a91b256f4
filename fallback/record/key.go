package record

// KeyID names a key of one database.
type KeyID struct {
	DB  int
	Key string
}
