package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCollectorPercent(t *testing.T) {
	const mb = 1 << 20
	require.Equal(t, 100, collectorPercent(40*mb, 0))
	require.Equal(t, 100, collectorPercent(0, 0))
	require.Equal(t, 25, collectorPercent(140*mb, 105*mb), "35 MB of room for 35 MB that are scanned")
	require.Equal(t, 50, collectorPercent(1*mb, 16*mb), "the cache has grown since the last collection")
	require.Equal(t, minPercent, collectorPercent(1020*mb, 1000*mb))
}
