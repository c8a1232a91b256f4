package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/fallback"
)

// A call whose arguments name no key fails by them while Redis is away, too: nothing is
// unknown about it.
func TestMalformedCallsSayWhatIsWrongInAnOutage(t *testing.T) {
	srv, p := online(t)
	c, d := p.client(), directClient(t, srv)
	want := map[string]string{}
	lines := []string{
		"LMPOP 0 aiclient:k LEFT", "LMPOP x aiclient:k LEFT", "LMPOP 9 aiclient:k LEFT", "ZMPOP 0 aiclient:k MIN", "ZMPOP -1 aiclient:k MAX",
		"ZUNION 0 aiclient:k", "ZUNION x aiclient:k", "ZINTER 2 aiclient:k", "ZINTERCARD 0 aiclient:k", "ZDIFF -3 aiclient:k", "SINTERCARD 0 aiclient:k",
		"XREAD COUNT 1", "XREAD STREAMS aiclient:k", "XREAD aiclient:k 0 0", "ZUNION 99999999999999999999 aiclient:k",
	}
	for _, line := range lines {
		err := d.Do(bg, fields(line)...).Err()
		require.Error(t, err, line)
		want[line] = err.Error()
	}
	srv.Kill()
	p.awaitMode(fallback.Offline)
	for _, line := range lines {
		assert.EqualError(t, c.Do(bg, fields(line)...).Err(), want[line], line)
	}
}
