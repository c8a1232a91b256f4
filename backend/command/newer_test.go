package command

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewerForm(t *testing.T) {
	for line, want := range map[string]bool{
		"SET k v IFEQ x": true, "SET k v EX 10 ifne x": true, "SET k v NX": false, "SET IFEQ IFEQ": false, "SET k IFEQ XX": false,
		"ZRANK z m WITHSCORE": true, "ZREVRANK z m withscore": true, "ZRANK z WITHSCORE": false,
		"HSCAN h 0 NOVALUES": true, "HSCAN h 0 MATCH NOVALUES": false, "HSCAN h 0 COUNT 10": false, "ZSCAN z 0 NOSCORES": true,
		"XREAD STREAMS s +": true, "XREAD STREAMS s 0": false, "XREAD COUNT 2 STREAMS a b 0 +": true, "XREAD MAXCOUNT 1 STREAMS a 0": true,
		"XREADGROUP GROUP g c CLAIM 10 STREAMS s >": true, "XREADGROUP GROUP g c STREAMS CLAIM >": false,
		"XADD s KEEPREF * f v": true, "XADD s * status ACKED": false, "XADD s MAXLEN ~ 10 ACKED * f v": true, "XADD s MAXLEN 10 1-1 f DELREF": false,
		"XTRIM s MAXLEN 1 DELREF": true, "BITOP DIFF d a b": true, "BITOP AND ONE a b": false, "BITOP one d a b": true,
		"ZUNION 2 a b AGGREGATE COUNT": true, "ZUNION 2 a COUNT": false, "ZINTERSTORE d 1 a AGGREGATE SUM": false,
		"GEOSEARCH g FROMMEMBER m BYPOLYGON 3 1 1 2 2 3 3": true, "GEOSEARCH g FROMMEMBER BYPOLYGON BYRADIUS 1 m": false, "GET k": false,
	} {
		argv := words(line)
		c, ok := Lookup(argv)
		require.True(t, ok, line)
		assert.Equal(t, want, NewerForm(argv, c), line)
	}
}

func TestNewerCommandsHaveTheirKeys(t *testing.T) {
	for line, want := range map[string]string{
		"LMOVEM a b LEFT RIGHT COUNT 2 BULK": "a b", "BLMOVEM a b LEFT RIGHT 0": "a b", "SUNIONCARD 2 a b LIMIT 1": "a b", "SDIFFCARD 1 a": "a",
		"ARSET k 0 x": "k", "ARMGET k 1 2": "k", "XNACK s g FAIL IDS 1 1-1": "s",
		"MSETEX 2 a 1 b 2 EX 10": "a b", "DELIFEQ k v": "k", "HOTKEYS GET": "", "BACKUP START": "", "CLUSTERSCAN 0": "",
	} {
		argv := words(line)
		c, ok := Lookup(argv)
		require.True(t, ok, line)
		assert.True(t, c.ArityOK(len(argv)), line)
		got := ""
		for i, k := range c.Keys(nil, argv) {
			if i > 0 {
				got += " "
			}
			got += string(k)
		}
		assert.Equal(t, want, got, line)
	}
}

func words(line string) (argv [][]byte) {
	for _, w := range splitNames(line) {
		argv = append(argv, []byte(w))
	}
	return argv
}
