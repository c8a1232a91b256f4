//go:build !unix

package engine

func cpuTimes() (system, user float64) { return 0, 0 }
