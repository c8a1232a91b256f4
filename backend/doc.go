// Package backend is the link to the real Redis: trunks that forward raw
// commands of many clients on one connection, dedicated sessions, the control
// connection for invalidations and heartbeat, and the health of it all. See
// DESIGN.md.
package backend
