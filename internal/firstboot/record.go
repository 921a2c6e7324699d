package firstboot

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/install"
)

// record writes down what others read: the owner's list of stops, the images of the apps, Tor's names and services, and the firewall's
// rules of the apps that were made. A firewall or a Tor that fails keeps it from nothing else; reconcile's passes let it follow later.
func (h *Host) record(ctx context.Context, p *Plan) error {
	err := errors.Join(h.userStopped(p), h.imageVersions(p), h.lateNames(p))
	if outsideErr := errors.Join(h.appServices(p), h.appRules(ctx, p)); outsideErr != nil {
		p.warn("%v", outsideErr)
		return err
	}
	return errors.Join(err, h.remembered(p))
}

// appServices takes the services of apps that were chosen and not made out of Tor's block again.
func (h *Host) appServices(p *Plan) error {
	if h.skips(Tor) || !h.servicesFollow() {
		return nil
	}
	made := *h
	made.Chosen = nil
	return made.torConfig(p)
}

func (h *Host) userStopped(p *Plan) error {
	_, found, err := h.stat(h.Layout.UserStopped())
	if err != nil || found {
		return err
	}
	_, err = h.fileChange(p, File{h.Layout.UserStopped(), 0o644, h.service(), []byte("[]\n")})
	return err
}

// ImageVersionFiles are the two places at which scripts look for the images.
var ImageVersionFiles = []string{"/opt/archipelago/image-versions.sh", "/opt/archipelago/scripts/image-versions.sh"}

func (h *Host) imageVersions(p *Plan) error {
	text := install.ImageVersions(h.Set)
	var errs []error
	for _, name := range ImageVersionFiles {
		_, err := h.fileChange(p, File{name, 0o644, h.System, text})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (h *Host) appRules(ctx context.Context, p *Plan) error {
	if h.skips(Firewall) {
		return nil
	}
	return h.firewall(ctx, p)
}

// MarkerContent is the line in the marker that says that the first boot is over.
type MarkerContent struct {
	Version    string    `json:"version"`
	FinishedAt time.Time `json:"finished_at"`
	Profile    string    `json:"profile"`
	Result     string    `json:"result"`
}

func (h *Host) writeMarker(m MarkerContent) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return h.writeFile(File{h.Layout.FirstBootDone(), 0o644, h.service(), append(text, '\n')})
}
