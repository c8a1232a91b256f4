package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"holdfast/gateway/store"
)

// remedies are the error codes of a token endpoint, and what to do. Only the
// first is final: the others are about the entry, or a mistake over there.
var remedies = map[string]string{
	"invalid_grant":          "sign in again",
	"invalid_client":         "check *_CLIENT_ID and *_CLIENT_SECRET of the entry",
	"unauthorized_client":    "check *_CLIENT_ID of the entry",
	"unsupported_grant_type": "check *_TOKEN_URL of the entry",
	"invalid_request":        "check *_CLIENT_ID and *_TOKEN_URL of the entry",
	"invalid_scope":          "sign in again",
}

// ask sends an account's refresh token to the token endpoint, once, through the
// account's proxy. The parameters carry
// the client's id: probing for what a server likes, as the library can, would
// send the refresh token twice.
func (t *tokens) ask(a *account, s signIn, refresh string, until time.Time) (store.Renewal, *tokenError) {
	if u, err := url.Parse(s.tokenURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return store.Renewal{}, &tokenError{kind: signedOut, text: "its token URL is not an http or https URL with a host"}
	}
	ctx, cancel := context.WithDeadline(context.WithValue(a.withProxy(context.Background()), oauth2.HTTPClient, t.client), until)
	defer cancel()
	conf := oauth2.Config{
		ClientID: s.clientID, ClientSecret: s.clientSecret,
		Endpoint: oauth2.Endpoint{TokenURL: s.tokenURL, AuthStyle: oauth2.AuthStyleInParams},
	}
	got, err := conf.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
	if err != nil {
		return store.Renewal{}, grantError(ctx, err)
	}
	id, _ := got.Extra("id_token").(string)
	r := store.Renewal{Access: got.AccessToken, ID: id, Expiry: got.Expiry, At: time.Now()}
	if got.RefreshToken != refresh {
		r.Refresh = got.RefreshToken
	}
	return r, nil
}

// grantError is what an error of a token endpoint means. The library's own texts
// quote the answer, which may hold secrets, so none of them gets out.
func grantError(ctx context.Context, err error) *tokenError {
	var answer *oauth2.RetrieveError
	if errors.As(err, &answer) && answer.Response != nil {
		status := answer.Response.StatusCode
		e := &tokenError{kind: failing, text: fmt.Sprintf("the token endpoint answered %d", status)}
		if remedy, ok := remedies[answer.ErrorCode]; ok && status < http.StatusInternalServerError && status != http.StatusTooManyRequests {
			e.text = fmt.Sprintf("the token endpoint refused to renew it (%s): %s", answer.ErrorCode, remedy)
			e.retry = maxBackoff
			if answer.ErrorCode == "invalid_grant" {
				e.kind, e.retry = signedOut, 0
			}
			return e
		}
		if d := retryAfter(answer.Response.Header, nil, time.Now()); d > 0 {
			e.retry = min(d, maxBackoff)
		}
		return e
	}
	var sent *url.Error
	switch {
	case ctx.Err() != nil:
		return &tokenError{kind: failing, text: "the token endpoint did not answer in time"}
	case errors.As(err, &sent):
		return &tokenError{kind: failing, text: "the token endpoint could not be reached, or broke off: " + sent.Err.Error()}
	}
	return &tokenError{kind: failing, text: "the token endpoint's answer holds no token"}
}

// maxGrant bounds what is read of a token endpoint's answer.
const maxGrant = 1 << 20

// sayJSON marks an answer that is a JSON object as one. The library goes by the
// declared type, takes text/plain for a form, and would lose the refresh token in
// it, which may be the only good one.
type sayJSON struct{ http.RoundTripper }

func (s sayJSON) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxGrant))
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read its answer: %w", err)
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		resp.Header.Set("Content-Type", "application/json")
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
