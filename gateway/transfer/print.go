package transfer

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// PrintPlan shows what a run is about to do.
func PrintPlan(w io.Writer, from, to, prefix string, r *Report) {
	fmt.Fprintf(w, "Plan: %s → %s, keys %s*\n", from, to, printable(prefix))
	for _, row := range r.rows() {
		c := *row.Counts
		if c == (Counts{}) {
			continue
		}
		fmt.Fprintf(w, "  %s: %s\n", row.Name, c.words())
	}
	if r.Troubles() == 0 && r.Changes() == 0 {
		fmt.Fprintln(w, "  nothing to do")
	}
}

func (c Counts) words() string {
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{c.New, "new"}, {c.Replaced, "to replace"}, {c.Removed, "to remove"}, {c.Identical, "identical"},
		{c.Skipped, "skipped"}, {c.Refused, "refused"}, {c.Failed, "failed"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	return strings.Join(parts, ", ")
}

// PrintTable shows the summary table.
func PrintTable(w io.Writer, r *Report) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tnew\treplaced\tremoved\tidentical\tskipped\trefused\tfailed\t")
	for _, row := range r.rows() {
		c := row.Counts
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", row.Name,
			c.New, c.Replaced, c.Removed, c.Identical, c.Skipped, c.Refused, c.Failed)
	}
	_ = t.Flush()
}

// PrintMigrated shows the end of a migrate: the lines users were promised, then
// what was not imported and why.
func PrintMigrated(w io.Writer, r *Report) {
	title, config := "Migration complete:", "no"
	if r.DryRun {
		title = "Dry run complete, nothing written. It would give:"
	}
	if r.Config.Done() > 0 {
		config = "yes"
	}
	fmt.Fprintln(w, title)
	fmt.Fprintf(w, "  - Providers imported: %d\n", r.Accounts.Done())
	fmt.Fprintf(w, "  - Tokens imported: %d\n", r.Tokens.Done())
	fmt.Fprintf(w, "  - Config imported: %s\n", config)
	printItems(w, r)
}

// PrintExported shows the end of an export.
func PrintExported(w io.Writer, r *Report, dir string) {
	title := "Export complete: "
	if r.DryRun {
		title = "Dry run complete, nothing written. It would give: "
	}
	fmt.Fprintf(w, "%s%s\n", title, dir)
	fmt.Fprintf(w, "  - Providers exported: %d\n", r.Accounts.New)
	fmt.Fprintf(w, "  - Tokens exported: %d\n", r.Tokens.Done()+r.Tokens.Identical)
	printItems(w, r)
}

func printItems(w io.Writer, r *Report) {
	for _, outcome := range []string{Note, Account, Skipped, Refused, Failed} {
		head := true
		for _, it := range r.Items {
			if it.Outcome != outcome {
				continue
			}
			if head {
				fmt.Fprintf(w, "%s:\n", map[bool]string{true: "Accounts", false: strings.ToUpper(outcome[:1]) + outcome[1:]}[outcome == Account])
				head = false
			}
			where := ""
			if it.File != "" {
				where = " (" + it.File + ")"
			}
			fmt.Fprintf(w, "  - %s%s: %s\n", printable(it.What), printable(where), printable(it.Reason))
		}
	}
	if r.Omitted > 0 {
		fmt.Fprintf(w, "… and %d more items\n", r.Omitted)
	}
	if r.Verified != nil && *r.Verified {
		fmt.Fprintln(w, "Verified: Redis holds what the files hold, tokens included.")
	}
}

// printable takes control characters out of what comes from files and keys, so
// that a name cannot write on the user's terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
}

// PrintStopped shows the items of a run that stopped with an error.
func PrintStopped(w io.Writer, r *Report) { printItems(w, r) }
