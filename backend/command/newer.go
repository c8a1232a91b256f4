package command

// Names that the server the table was generated from does not have yet: Redis
// 7.2 to 8.10, and Valkey to 9.1. Arity is the least that any version accepts.
// Routing them is safe on an older server: it answers that it knows no such
// command, in its own words.

var (
	readsOne  = []keySpec{{flags: "RO access", from: 1, step: 1}}
	writesOne = []keySpec{{flags: "RW access update", from: 1, step: 1}}

	readsCounted = []keySpec{{flags: "RO access", from: 1, counted: true, first: 1, step: 1}}
	movesList    = []keySpec{{flags: "RW access delete", from: 1, step: 1}, {flags: "RW insert", from: 2, step: 1}}
)

// read1 and write1 are commands with one key in the first place.
func read1(name string, arity int, flags Flags) Command {
	return Command{Name: name, Arity: arity, Flags: Read | flags, FirstKey: 1, LastKey: 1, KeyStep: 1, specs: readsOne}
}

func write1(name string, arity int, flags Flags) Command {
	return Command{Name: name, Arity: arity, Flags: Write | flags, FirstKey: 1, LastKey: 1, KeyStep: 1, specs: writesOne}
}

var newerCommands = []Command{
	// 7.2
	{Name: "waitaof", Arity: 4, Flags: NoScript},
	// 7.4: times of hash fields
	write1("hexpire", -6, DenyOOM|Fast),
	write1("hexpireat", -6, DenyOOM|Fast),
	write1("hpexpire", -6, DenyOOM|Fast),
	write1("hpexpireat", -6, DenyOOM|Fast),
	write1("hpersist", -5, Fast),
	read1("hexpiretime", -5, Fast),
	read1("hpexpiretime", -5, Fast),
	read1("httl", -5, Fast|NonDeterministic),
	read1("hpttl", -5, Fast|NonDeterministic),
	// 8.0
	write1("hgetdel", -5, Fast),
	write1("hgetex", -5, Fast),
	write1("hsetex", -6, DenyOOM|Fast),
	// 8.0: vector sets
	write1("vadd", -5, DenyOOM),
	write1("vrem", 3, 0),
	write1("vsetattr", 4, Fast),
	read1("vsim", -4, 0),
	read1("vdim", 2, Fast),
	read1("vcard", 2, Fast),
	read1("vemb", -3, Fast),
	read1("vlinks", -3, Fast),
	read1("vinfo", 2, Fast),
	read1("vgetattr", 3, Fast),
	read1("vismember", 3, Fast),
	read1("vrange", -4, 0),
	read1("vrandmember", -2, NonDeterministic),
	// 8.2
	write1("xdelex", -5, Fast),
	write1("xackdel", -6, Fast),
	// 8.4 and later
	write1("delex", -2, Fast),
	read1("digest", 2, Fast),
	{
		Name: "msetex", Arity: -4, Flags: Write | DenyOOM,
		specs: []keySpec{{flags: "OW update", from: 1, counted: true, first: 1, step: 2}},
	},
	write1("xcfgset", -2, Fast),
	write1("increx", -2, DenyOOM|Fast),
	write1("gcra", -5, DenyOOM|Fast),
	{Name: "hotkeys", Arity: -2, subs: []Command{
		{Name: "hotkeys|start", Arity: -2, Flags: Admin | NoScript},
		{Name: "hotkeys|stop", Arity: 2, Flags: Admin | NoScript},
		{Name: "hotkeys|reset", Arity: 2, Flags: Admin | NoScript},
		{Name: "hotkeys|get", Arity: -2, Flags: Admin | NoScript | NonDeterministic},
		{Name: "hotkeys|help", Arity: 2},
	}},
	// 8.8: arrays
	write1("arset", -4, DenyOOM),
	write1("armset", -4, DenyOOM),
	write1("arinsert", -3, DenyOOM),
	write1("arring", -4, DenyOOM),
	write1("ardel", -3, Fast),
	write1("ardelrange", -4, 0),
	write1("arseek", 3, DenyOOM|Fast),
	read1("arget", 3, Fast),
	read1("argetrange", 4, 0),
	read1("armget", -3, Fast),
	read1("arlen", 2, Fast),
	read1("arcount", 2, Fast),
	read1("arnext", 2, Fast),
	read1("arinfo", -2, 0),
	read1("arscan", -4, 0),
	read1("arop", -5, 0),
	read1("argrep", -4, 0),
	read1("arlastitems", -3, 0),
	write1("xnack", -6, Fast),
	// 8.10
	{Name: "lmovem", Arity: -5, Flags: Write | DenyOOM, FirstKey: 1, LastKey: 2, KeyStep: 1, specs: movesList},
	{Name: "blmovem", Arity: -6, Flags: Write | DenyOOM | Blocking, FirstKey: 1, LastKey: 2, KeyStep: 1, specs: movesList},
	{Name: "sunioncard", Arity: -3, Flags: Read, specs: readsCounted},
	{Name: "sdiffcard", Arity: -3, Flags: Read, specs: readsCounted},
	// HIMPORT is left out: what it prepares belongs to the connection, so it stays, as a
	// command that nobody knows, on a dedicated one.
	{Name: "backup", Arity: -2, subs: []Command{
		{Name: "backup|start", Arity: -2, Flags: Admin | NoScript},
		{Name: "backup|seal", Arity: -2, Flags: Admin | NoScript},
		{Name: "backup|abort", Arity: -2, Flags: Admin | NoScript},
		{Name: "backup|cleanup", Arity: -2, Flags: Admin | NoScript},
		{Name: "backup|list", Arity: -2, Flags: Admin | NoScript | NonDeterministic},
		{Name: "backup|status", Arity: -2, Flags: Admin | NoScript | NonDeterministic},
		{Name: "backup|help", Arity: 2},
	}},
	{Name: "sflush", Arity: -3, Flags: Write},
	// Valkey
	write1("delifeq", 3, Fast),
	{Name: "clusterscan", Arity: -2, Flags: Read | NonDeterministic},
	{Name: "commandlog", Arity: -2, subs: []Command{
		{Name: "commandlog|get", Arity: -4, Flags: Admin | NonDeterministic},
		{Name: "commandlog|len", Arity: 3, Flags: Admin | NonDeterministic},
		{Name: "commandlog|reset", Arity: 3, Flags: Admin},
		{Name: "commandlog|help", Arity: 2},
	}},
}

// newerSubs are new subcommands of containers that the server already has.
var newerSubs = map[string][]Command{
	"client": {
		{Name: "client|no-touch", Arity: 3, Flags: NoScript},
		{Name: "client|setinfo", Arity: 4, Flags: NoScript},
		{Name: "client|capa", Arity: -3, Flags: NoScript},
		{Name: "client|import-source", Arity: 3, Flags: NoScript},
	},
	"cluster": {
		{Name: "cluster|myshardid", Arity: 2},
		{Name: "cluster|slot-stats", Arity: -4, Flags: NonDeterministic},
		{Name: "cluster|migration", Arity: -3, Flags: Admin},
		{Name: "cluster|migrateslots", Arity: -3, Flags: Admin},
		{Name: "cluster|getslotmigrations", Arity: 2, Flags: Admin},
		{Name: "cluster|cancelslotmigrations", Arity: 2, Flags: Admin},
		{Name: "cluster|flushslot", Arity: -3, Flags: Write},
	},
	"script": {
		{Name: "script|show", Arity: 3, Flags: NoScript},
	},
}

// newerWords are words in calls of commands that the server of the table has, which only
// newer ones take: from which argument on they are looked for.
var newerWords = map[string]struct {
	from  int
	words []string
}{
	"set":            {3, []string{"IFEQ", "IFNE", "IFDEQ", "IFDNE"}},
	"zrank":          {3, []string{"WITHSCORE"}},
	"zrevrank":       {3, []string{"WITHSCORE"}},
	"hscan":          {3, []string{"NOVALUES"}},
	"zscan":          {3, []string{"NOSCORES"}},
	"xread":          {1, []string{"+", "MAXCOUNT", "MAXSIZE"}},
	"xreadgroup":     {4, []string{"CLAIM", "MAXCOUNT", "MAXSIZE"}},
	"xadd":           {2, []string{"KEEPREF", "DELREF", "ACKED", "IDMP", "IDMPAUTO"}},
	"xtrim":          {2, []string{"KEEPREF", "DELREF", "ACKED"}},
	"bitop":          {1, []string{"DIFF", "DIFF1", "ANDOR", "ONE"}},
	"zunion":         {3, []string{"COUNT"}},
	"zinter":         {3, []string{"COUNT"}},
	"zunionstore":    {4, []string{"COUNT"}},
	"zinterstore":    {4, []string{"COUNT"}},
	"geosearch":      {2, []string{"BYPOLYGON"}},
	"geosearchstore": {3, []string{"BYPOLYGON"}},
}

// NewerForm reports whether the call uses an option that only servers newer than the
// one of the table know. Nobody else can say whether such a call is right.
func NewerForm(argv [][]byte, c *Command) bool {
	n, ok := newerWords[c.Name]
	if !ok {
		return false
	}
	for i := n.from; i < len(argv) && !endsOptions(c, argv, i); i++ {
		if takesValue(argv[i-1]) {
			continue
		}
		for _, w := range n.words {
			if isWord(argv[i], w) && (w != "COUNT" || isWord(argv[i-1], "AGGREGATE")) {
				return true
			}
		}
		if c.Name == "bitop" {
			break // only keys follow
		}
	}
	return false
}

// takesValue reports whether what follows the word is its value, not an option.
func takesValue(word []byte) bool {
	return isWord(word, "MATCH") || isWord(word, "FROMMEMBER") || isWord(word, "STREAMS")
}

// endsOptions reports whether no option can be at argument i or behind it: from XADD's id
// on, and from the keys of XREADGROUP on.
func endsOptions(c *Command, argv [][]byte, i int) bool {
	switch c.Name {
	case "xreadgroup":
		return isWord(argv[i-1], "STREAMS")
	case "xadd":
		if len(argv[i]) == 0 || argv[i][0] != '*' && (argv[i][0] < '0' || argv[i][0] > '9') {
			return false
		}
		for _, before := range []string{"MAXLEN", "MINID", "=", "~", "LIMIT"} {
			if isWord(argv[i-1], before) {
				return false
			}
		}
		return true
	}
	return false
}
