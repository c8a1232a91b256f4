package command

// Names that the server the table was generated from does not have yet: Redis
// 7.2, 7.4 and 8, and Valkey. Arity is the least that any version accepts.
// Routing them is safe on an older server: it answers that it knows no such
// command, in its own words.

var (
	readsOne  = []keySpec{{flags: "RO access", from: 1, step: 1}}
	writesOne = []keySpec{{flags: "RW access update", from: 1, step: 1}}
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
	// Valkey
	write1("delifeq", 3, Fast),
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
