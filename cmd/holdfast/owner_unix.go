//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

func ownerOf(st os.FileInfo) string {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf(", owner %d", s.Uid)
	}
	return ""
}
