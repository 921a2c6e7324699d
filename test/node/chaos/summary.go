package chaos

import (
	"maps"
	"slices"
)

// full is how many rounds of one cell must pass until the cell does; where each fault counts by itself, it is so many rounds of each.
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
	// Faults are the cells of each fault by itself, where they count.
	Faults map[string]map[string]cell `json:"faults,omitempty"`
	times  []float64
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
	if s.EachFault {
		c.addFault(o, s, apps)
	}
	c.Rounds++
	c.Broken += min(1, len(o.Failures))
	c.Late += min(1, len(o.Late))
	for _, id := range slices.Sorted(maps.Keys(o.Apps)) {
		took, now := o.Apps[id], c.Cells[id]
		if took >= 0 && now.Longest >= 0 {
			c.times = append(c.times, took)
		}
		if took > c.Longest {
			c.Longest, c.Slowest = took, id
		}
		c.Cells[id] = now.add(o, s, apps, id)
	}
}

// add counts a round for one app.
func (c cell) add(o Outcome, s Scenario, apps Fleet, id string) cell {
	took := o.Apps[id]
	a, _ := apps.Get(id)
	c.Rounds++
	if took >= 0 && len(o.Failures) == 0 && took <= s.limit(o.Fault, a).Seconds() {
		c.Passed++
	}
	if took < 0 || c.Longest < 0 {
		c.Longest = -1
	} else {
		c.Longest = max(c.Longest, took)
	}
	return c
}

// addFault counts a round for its fault alone.
func (c *column) addFault(o Outcome, s Scenario, apps Fleet) {
	if c.Faults == nil {
		c.Faults = map[string]map[string]cell{}
	}
	cells := c.Faults[o.Fault]
	if cells == nil {
		cells = map[string]cell{}
		c.Faults[o.Fault] = cells
	}
	for id := range o.Apps {
		cells[id] = cells[id].add(o, s, apps, id)
	}
}

// passed tells that the cell of an app had all its rounds, of each fault where these count, and that none failed.
func (c column) passed(id string, s Scenario) bool {
	if !s.EachFault {
		return c.Cells[id].passed()
	}
	return !slices.ContainsFunc(s.Faults, func(f Fault) bool { return !c.Faults[f.Name][id].passed() })
}

func (c cell) passed() bool { return c.Rounds >= full && c.Passed == c.Rounds }

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
