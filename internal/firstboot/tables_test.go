package firstboot

import (
	"regexp"
	"strconv"
	"testing"
	"time"
)

// TestIncident8TheGraceOfAReboot: systemd's own user@.service kills what has not ended after 120 s. An app ends when those that need it have, so
// the manager gets the time of the longest such chain.
func TestIncident8TheGraceOfAReboot(t *testing.T) {
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=([0-9]+)min$`).FindSubmatch(UserManagerDropIn(Owner{}).Text)
	if m == nil {
		t.Fatal("no TimeoutStopSec= in minutes")
	}
	minutes, _ := strconv.Atoi(string(m[1]))
	set := shipped()
	const margin = 15 // of TimeoutStopSec= of an app's unit
	ends := map[string]int{}
	longest, order := 0, set.Order()
	for i := len(order) - 1; i >= 0; i-- {
		id := order[i]
		ends[id] += set.Apps[id].StopGrace() + margin
		longest = max(longest, ends[id])
		for _, n := range set.Needs(id) {
			ends[n.AppID] = max(ends[n.AppID], ends[id])
		}
	}
	have, want := time.Duration(minutes)*time.Minute, time.Duration(longest)*time.Second
	if want < 10*time.Minute || have < want || have >= 30*time.Minute { // when poweroff.target and reboot.target lose their patience
		t.Errorf("the manager gets %s, its apps need %s", have, want)
	}
}
