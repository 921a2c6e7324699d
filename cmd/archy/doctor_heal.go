package main

import (
	"context"
	"fmt"

	"git.tx1138.com/lfg2025/archy/internal/doctor"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
)

// diagnose finds out how podman is.
func (e *examiner) diagnose(ctx context.Context) (heal.Diagnosis, error) {
	d := heal.Diagnosis{Schema: 1, State: heal.OK}
	if _, err := e.asked.Client.List(ctx); err != nil {
		d.State, d.Evidence, d.Source = heal.Unknown, err.Error(), "list containers"
	}
	return d, nil
}

// climb climbs the ladder of repairs as far as was asked.
func (o *doctorOptions) climb(_ context.Context, _ *examiner, d *doctor.Document) {
	d.Notes = append(d.Notes, fmt.Sprintf("the ladder is not built yet (--heal=%s)", o.heal))
}
