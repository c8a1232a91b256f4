package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/gateway/store"
)

// ErrVerify says that Redis does not hold what the files hold.
var ErrVerify = errors.New("verification failed: Redis does not hold what the files hold")

// ErrNothing says that a directory holds no configuration.
var ErrNothing = errors.New("holds neither config.json nor provider_pools.json")

// MigrateConfig says what to import. Plan and Progress may be nil.
type MigrateConfig struct {
	Client redis.UniversalClient
	Prefix string
	Dir    string
	DryRun bool // only plan
	Force  bool // replace what differs and remove what the files do not have
	Verify bool // afterwards, compare all content

	Audit    *Auditor       // nil: nothing is judged
	Plan     func(*Report)  // called with the plan before anything is written
	Progress func(done int) // called now and then with the items dealt with
	Now      func() time.Time
}

// Migrate imports a configuration directory into Redis. It first makes the whole
// plan, then works; the report is of the work, in a dry run of the plan. Broken
// or refused items are in the report and not an error; an error means that the
// work stopped. All of it can be run again at any time: what is there already
// is skipped, so an interrupted run is completed by the next one.
func Migrate(ctx context.Context, cfg MigrateConfig) (*Report, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t, err := openTree(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if !t.exists(configFile) && !t.exists(poolsFile) {
		return nil, fmt.Errorf("read %s: %w: name the directory with --config-dir", cfg.Dir, ErrNothing)
	}
	if err := t.checkPaths(); err != nil {
		return nil, err
	}
	m := &migrator{cfg: cfg, tree: t, st: store.New(cfg.Client, cfg.Prefix)}
	plan, err := m.pass(ctx, nil)
	if err != nil {
		return plan.rep, fmt.Errorf("plan: %w", err)
	}
	plan.rep.DryRun = cfg.DryRun
	if cfg.Plan != nil {
		cfg.Plan(plan.rep)
	}
	if cfg.DryRun {
		return plan.rep, nil
	}
	if _, err := m.st.Upgrade(ctx); err != nil {
		return plan.rep, err
	}
	work, err := m.pass(ctx, plan)
	if err != nil || !cfg.Verify {
		return work.rep, err
	}
	return work.rep, m.verify(ctx, work.rep)
}

// verify plans once more: where Redis holds what the files hold, there is
// nothing left to do.
func (m *migrator) verify(ctx context.Context, rep *Report) error {
	m.cfg.Progress = nil
	again, err := m.pass(ctx, nil)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	differ := again.rep.differences()
	same := len(differ) == 0
	rep.Verified = &same
	if same {
		return nil
	}
	for _, it := range again.rep.Items {
		if it.Outcome == Refused && !slices.Contains(rep.Items, it) {
			rep.item(it.Outcome, it.What, it.File, "%s", it.Reason)
		}
	}
	return fmt.Errorf("%w: %s", ErrVerify, strings.Join(differ, "; "))
}

// migrator imports one directory. Not safe for concurrent use.
type migrator struct {
	cfg  MigrateConfig
	tree *tree
	st   *store.Store
}

// pass is one run over the directory: the plan, or the work by a plan.
type pass struct {
	*migrator
	rep  *Report
	plan *pass // nil while planning

	types    map[string]*typeResult
	known    map[string]bool   // provider types that Redis has or lists
	seen     map[[16]byte]bool // paths that need no files: key: token files
	accounts map[[16]byte]bool // (type, uuid) of the accounts in the files
	keep     map[string]bool   // files of a known name that cannot be used; kept as they are
	audit    audit
	skeleton []byte // layout of provider_pools.json
	done     int
}

// typeResult is what a pass found out about one provider type.
type typeResult struct {
	changes, refused int
	layoutSame       bool
	listed           bool // in the set of types
}

func (m *migrator) pass(ctx context.Context, plan *pass) (*pass, error) {
	p := &pass{migrator: m, rep: &Report{}, plan: plan, types: map[string]*typeResult{}, known: map[string]bool{},
		seen: map[[16]byte]bool{}, accounts: map[[16]byte]bool{}, keep: map[string]bool{}}
	for _, step := range []func(context.Context) error{
		p.checkRecords, p.pools, p.singles, p.sessions, p.files, p.sweep, p.meta,
	} {
		if err := step(ctx); err != nil {
			return p, err
		}
	}
	p.tellAudit()
	return p, nil
}

// writing says that this pass does the work.
func (p *pass) writing() bool { return p.plan != nil }

func (p *pass) progress(n int) {
	p.done += n
	if p.writing() && p.cfg.Progress != nil {
		p.cfg.Progress(p.done)
	}
}

// short is a set member for a name: 100,000 names take little memory.
func short(parts ...string) (id [16]byte) {
	h := sha256.New()
	for _, s := range parts {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	copy(id[:], h.Sum(nil))
	return id
}

// meta records the import, if it changed anything. It comes last: a record says
// that all before it was done.
func (p *pass) meta(ctx context.Context) error {
	old, err := p.st.Meta(ctx, metaSkeleton, "providers")
	if err != nil {
		return err
	}
	write := p.skeleton != nil && old[0] != string(p.skeleton)
	if write && old[0] != "" && !p.cfg.Force {
		if name, differs := literalsDiffer([]byte(old[0]), p.skeleton); differs {
			p.rep.refuse(&p.rep.Layout, p.st.Keys.Meta()+" "+metaSkeleton, poolsFile,
				"Redis holds another value of %q, which is no pool; --force replaces it", name)
			write = false
		}
	}
	if write {
		p.rep.Layout.New++
	}
	if !p.writing() || p.rep.Changes() == 0 {
		return nil
	}
	r := p.rep
	fields := []any{"version", "1", "migratedAt", p.cfg.Now().UTC().Format(time.RFC3339), "migratedFrom", "files",
		"providers", count(r.Accounts), "tokens", count(r.Tokens), "files", count(r.Files)}
	if write {
		fields = append(fields, metaSkeleton, p.skeleton)
	}
	if err := p.st.Client().HSet(ctx, p.st.Keys.Meta(), fields...).Err(); err != nil {
		return fmt.Errorf("write meta: %w", err)
	}
	return nil
}

func count(c Counts) string { return strconv.Itoa(c.New + c.Identical + c.Replaced) }

// metaSkeleton is the field of meta that holds the layout of provider_pools.json
// without its pools.
const metaSkeleton = "layout:" + poolsFile
