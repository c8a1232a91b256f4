package transfer

import "fmt"

// Outcomes of one item.
const (
	Skipped = "skipped" // nothing to do, or nothing that can be stored
	Refused = "refused" // the target holds something else and force is off
	Failed  = "failed"  // could not be read, stored or written
	Note    = "note"    // done, but worth knowing
	Account = "account" // what the service will do with it
)

// maxItems bounds the listed items, so that 100,000 broken ones do not fill the
// memory; the counts stay exact.
const maxItems = 2000

// Item is one line of the report: what happened to what, and why.
type Item struct {
	Outcome string `json:"outcome"`
	What    string `json:"what"`
	File    string `json:"file,omitempty"`
	Reason  string `json:"reason"`
}

// Counts says what happened to the items of one kind. In a dry run: what would.
type Counts struct {
	New       int `json:"new"`
	Identical int `json:"identical"`
	Replaced  int `json:"replaced"`
	Removed   int `json:"removed"`
	Skipped   int `json:"skipped"`
	Refused   int `json:"refused"`
	Failed    int `json:"failed"`
}

// Done is how many items were written.
func (c Counts) Done() int { return c.New + c.Replaced }

func (c Counts) changes() int { return c.New + c.Replaced + c.Removed }

func (c Counts) total() int {
	return c.New + c.Identical + c.Replaced + c.Skipped + c.Refused + c.Failed
}

// Report is the result of a migrate or an export, or the plan of one.
type Report struct {
	DryRun   bool   `json:"dryRun"`
	Accounts Counts `json:"accounts"`
	Pools    Counts `json:"pools"`
	Tokens   Counts `json:"tokens"`
	Config   Counts `json:"config"`
	Password Counts `json:"password"`
	Plugins  Counts `json:"plugins"`
	Usage    Counts `json:"usageCache"`
	Sessions Counts `json:"sessions"`
	Files    Counts `json:"files"`
	Layout   Counts `json:"layout"` // bookkeeping, not shown in the table
	Verified *bool  `json:"verified,omitempty"`
	Items    []Item `json:"items"`
	Omitted  int    `json:"itemsOmitted,omitempty"`

	repeated int // accounts refused for their file alone, whatever Redis holds
}

// row is one line of the summary table.
type row struct {
	Name   string
	Counts *Counts
}

func (r *Report) rows() []row {
	return []row{
		{"Accounts", &r.Accounts}, {"Provider types", &r.Pools}, {"Tokens", &r.Tokens},
		{"Config", &r.Config}, {"Password", &r.Password}, {"Plugins", &r.Plugins},
		{"Usage cache", &r.Usage}, {"Sessions", &r.Sessions}, {"Other files", &r.Files},
	}
}

func (r *Report) all() []*Counts {
	all := []*Counts{&r.Layout}
	for _, row := range r.rows() {
		all = append(all, row.Counts)
	}
	return all
}

// Troubles is how many items failed or were refused.
func (r *Report) Troubles() (n int) {
	for _, c := range r.all() {
		n += c.Failed + c.Refused
	}
	return n
}

// Changes is how many items were (or would be) written or removed.
func (r *Report) Changes() (n int) {
	for _, c := range r.all() {
		n += c.changes()
	}
	return n
}

// differences says, of a plan, where Redis does not hold what the files hold.
func (r *Report) differences() (list []string) {
	for _, row := range append(r.rows(), row{"Layout of provider_pools.json", &r.Layout}) {
		c := *row.Counts
		if row.Counts == &r.Accounts {
			c.Refused -= r.repeated
		}
		if c.changes()+c.Refused > 0 {
			list = append(list, fmt.Sprintf("%s: %d missing, %d different, %d too many",
				row.Name, c.New, c.Replaced+c.Refused, c.Removed))
		}
	}
	return list
}

// Total is how many items there are to deal with.
func (r *Report) Total() (n int) {
	for _, row := range r.rows() {
		if row.Counts != &r.Pools {
			n += row.Counts.total()
		}
	}
	return n
}

func (r *Report) item(outcome, what, file, format string, args ...any) {
	if len(r.Items) >= maxItems {
		r.Omitted++
		return
	}
	r.Items = append(r.Items, Item{Outcome: outcome, What: what, File: file, Reason: fmt.Sprintf(format, args...)})
}

func (r *Report) fail(c *Counts, what, file, format string, args ...any) {
	c.Failed++
	r.item(Failed, what, file, format, args...)
}

func (r *Report) refuse(c *Counts, what, file, format string, args ...any) {
	c.Refused++
	r.item(Refused, what, file, format, args...)
}

func (r *Report) skip(c *Counts, what, file, format string, args ...any) {
	c.Skipped++
	r.item(Skipped, what, file, format, args...)
}
