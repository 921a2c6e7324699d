package chaos

import (
	"maps"
	"slices"
)

// full is how many rounds of one cell must pass until the cell does.
const full = 20

// cell is one scenario on one app.
type cell struct {
	Rounds int `json:"rounds"`
	Passed int `json:"passed"`
	// Longest is the longest recovery, in seconds; -1 when the app once was not back.
	Longest float64 `json:"longest"`
}

// column is one scenario over all apps and rounds.
type column struct {
	Scenario int     `json:"scenario"`
	Name     string  `json:"name"`
	Rounds   int     `json:"rounds"`
	Broken   int     `json:"broken"`
	Late     int     `json:"late"`
	Median   float64 `json:"median"`
	Longest  float64 `json:"longest"`
	Slowest  string  `json:"slowest"`
	// Limit is the longest that the scenario gives any app.
	Limit float64         `json:"limit"`
	Cells map[string]cell `json:"cells"`
	times []float64
}

// summarise counts rounds. A round that broke a rule passes for none of its apps; a late app fails alone.
func summarise(rounds []Outcome, apps Fleet) []column {
	var out []column
	for _, s := range Table() {
		c := column{Scenario: s.Number, Name: s.Name, Cells: map[string]cell{}}
		for _, a := range apps {
			c.Limit = max(c.Limit, s.Limit(a).Seconds())
		}
		for _, o := range rounds {
			if o.Scenario == s.Number {
				c.add(o, s, apps)
			}
		}
		slices.Sort(c.times)
		if len(c.times) > 0 {
			c.Median = c.times[len(c.times)/2]
		}
		out = append(out, c)
	}
	return out
}

func (c *column) add(o Outcome, s Scenario, apps Fleet) {
	c.Rounds++
	c.Broken += min(1, len(o.Failures))
	c.Late += min(1, len(o.Late))
	for _, id := range slices.Sorted(maps.Keys(o.Apps)) {
		took, now := o.Apps[id], c.Cells[id]
		a, _ := apps.Get(id)
		back := took >= 0
		now.Rounds++
		if back && len(o.Failures) == 0 && took <= s.limit(o.Fault, a).Seconds() {
			now.Passed++
		}
		if !back || now.Longest < 0 {
			now.Longest = -1
		} else {
			now.Longest = max(now.Longest, took)
			c.times = append(c.times, took)
		}
		if back && took > c.Longest {
			c.Longest, c.Slowest = took, id
		}
		c.Cells[id] = now
	}
}

// everyApp are the apps of all groups.
func everyApp() (Fleet, error) {
	all, err := NewFleet("all")
	if err != nil {
		return nil, err
	}
	core, err := NewFleet("core")
	if err != nil {
		return nil, err
	}
	for _, a := range core {
		if _, there := all.Get(a.ID); !there {
			all = append(all, a)
		}
	}
	slices.SortStableFunc(all, func(a, b App) int { return a.Tier - b.Tier })
	return all, nil
}
