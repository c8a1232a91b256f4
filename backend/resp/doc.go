// Package resp is the RESP2/RESP3 codec shared by the proxy, the backend and
// the fallback. It holds no sockets and no goroutines and uses the standard
// library only.
//
// It works on three levels, cheapest first: [Splitter] finds where a reply ends
// without looking into it, [Parse] turns one complete reply into a [Value], and
// the Append functions write commands and replies into a caller's buffer.
package resp
