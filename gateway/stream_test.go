package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// leaver is a client that leaves as soon as it was sent a certain text: what a
// real client does with an error event, only that here it is never too slow.
type leaver struct {
	*httptest.ResponseRecorder
	at    string
	leave context.CancelFunc
}

func (l leaver) Write(p []byte) (int, error) {
	n, err := l.ResponseRecorder.Write(p)
	if bytes.Contains(p, []byte(l.at)) {
		l.leave()
	}
	return n, err
}

// SetWriteDeadline is what the relay asks of a connection.
func (leaver) SetWriteDeadline(time.Time) error { return nil }

func TestAClientThatLeavesAtAnErrorDoesNotExcuseTheAccount(t *testing.T) {
	cut := errors.New("connection reset")
	for _, c := range []struct {
		name, body string
		end        error
		at         string
		outcome    string
	}{
		{"broken", "data: {\"one\":1}\n\n", cut, "broke off", "broken"},
		{"reported", "data: {\"one\":1}\n\ndata: {\"error\":{\"message\":\"x\"}}\n\ndata: {}\n\n", nil, `"error"`, "stream_error"},
		{"only left", "data: {\"one\":1}\n\ndata: {}\n\n", nil, "one", "client_gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, w := io.Pipe() // stays open behind the body, unless it breaks
			go func() {
				_, _ = io.WriteString(w, c.body)
				if c.end != nil {
					_ = w.CloseWithError(c.end)
				}
			}()
			f := &forwarder{keepAlive: time.Hour}
			out := f.relayStream(ctx, leaver{httptest.NewRecorder(), c.at, cancel}, &call{dialect: openAI{}}, &account{}, &http.Response{Body: r})
			require.Equal(t, c.outcome, out.outcome)
			require.Equal(t, c.outcome != "client_gone", out.blame)
			require.True(t, out.began)
		})
	}
}

// unwritable is a client that is gone before its context tells.
type unwritable struct{ http.ResponseWriter }

func (unwritable) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAClientThatCannotBeWrittenToIsNotTheAccountsFault(t *testing.T) {
	out := copyRest(t.Context(), unwritable{}, strings.NewReader("rest"))
	require.Equal(t, "client_gone", out.outcome)
	require.False(t, out.blame)
	out = copyRest(t.Context(), httptest.NewRecorder(), io.MultiReader(strings.NewReader("re"), brokenBody{}))
	require.Equal(t, "broken", out.outcome)
	require.True(t, out.blame)
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
