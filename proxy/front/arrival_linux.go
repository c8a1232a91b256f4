package front

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stampedReader reads from a TCP socket and learns from the kernel when the last
// byte of what it read arrived. It is for one goroutine.
type stampedReader struct {
	raw  syscall.RawConn
	wait func(fd uintptr) bool // receives once; made once, as a closure for each read would allocate

	// Of the read under way.
	p     []byte
	n     int
	errno unix.Errno

	msg     unix.Msghdr
	iov     unix.Iovec
	control [stampSize]byte
}

const stampSize = unix.SizeofCmsghdr + 16 // and a timespec

// newStampedReader returns nil for what is no TCP socket or has no timestamps.
func newStampedReader(nc net.Conn) *stampedReader {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	if stampArrivals(raw) != nil {
		return nil
	}
	r := &stampedReader{raw: raw}
	r.wait = r.receive
	return r
}

// stampArrivals makes the kernel note when data arrives on a socket, or on those that a
// listening socket accepts.
func stampArrivals(raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
	return errors.Join(err, failed)
}

// stampAccepted does that for all connections of a listener. The kernel begins to note
// times a moment after the first socket wants them: it is the listener, for good.
func stampAccepted(ln net.Listener) {
	if tcp, ok := ln.(*net.TCPListener); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = stampArrivals(raw) // without, commands count in the order in which they are read
		}
	}
}

// read is Read of the socket, and the moment of arrival in nanoseconds of Unix time, 0
// where the kernel does not tell.
func (r *stampedReader) read(p []byte) (n int, arrived int64, err error) {
	r.p, r.n, r.errno = p, 0, 0
	err = r.raw.Read(r.wait)
	r.p, r.iov.Base = nil, nil
	switch {
	case err != nil:
		return 0, 0, err
	case r.errno != 0:
		return 0, 0, os.NewSyscallError("recvmsg", r.errno)
	case r.n == 0:
		return 0, 0, io.EOF
	}
	return r.n, r.stamp(), nil
}

// receive reports whether there was something to read, or an error.
func (r *stampedReader) receive(fd uintptr) bool {
	for {
		r.iov.Base = &r.p[0]
		r.iov.SetLen(len(r.p))
		r.msg = unix.Msghdr{Iov: &r.iov, Control: &r.control[0]}
		r.msg.SetIovlen(1)
		r.msg.SetControllen(len(r.control))
		n, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&r.msg)), 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		r.n, r.errno = int(n), errno
		return true
	}
}

// stamp reads the kernel's timestamp; 0 without one.
func (r *stampedReader) stamp() int64 {
	head := (*unix.Cmsghdr)(unsafe.Pointer(&r.control[0]))
	if int(r.msg.Controllen) < unix.SizeofCmsghdr+int(unsafe.Sizeof(unix.Timespec{})) || head.Level != unix.SOL_SOCKET || head.Type != unix.SCM_TIMESTAMPNS {
		return 0
	}
	return (*unix.Timespec)(unsafe.Pointer(&r.control[unix.SizeofCmsghdr])).Nano()
}
