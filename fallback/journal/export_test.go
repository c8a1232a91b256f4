package journal

// The tests of crashes are in an outside package, as faultfs imports this one.
var (
	VerifyFS    = verify
	DumpFS      = dump
	RepairFS    = repair
	SegmentName = segmentName
	PutPreamble = putPreamble
)

const (
	SegmentHeaderSize = segmentHeaderSize
	FrameHeaderSize   = frameHeaderSize
	MagicSegment      = magicSegment
	SequenceJump      = sequenceJump
)
