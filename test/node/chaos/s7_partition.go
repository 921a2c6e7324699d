package chaos

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

// partition: the registry fails in every way that a registry can. What runs goes on running, a pass over it finds nothing
// to do, and an installation that met the fault ends well after it.
var partition = Scenario{
	Number: 7, Name: "partition", Whole: true, Limit: always(120 * time.Second),
	Faults: []Fault{
		{"no network and no names", func(ctx context.Context, r *Round) error {
			return r.partitioned(ctx, cutOff, reconnect)
		}},
		{"the registry answers 500", func(ctx context.Context, r *Round) error {
			return r.partitioned(ctx, func(context.Context, *Round) error {
				r.Registry.SetFault("", registry.Fault{Status: http.StatusInternalServerError})
				return nil
			}, clearFaults)
		}},
		{"the registry hangs in the middle of a pull", hangMidPull},
		{"the registry serves another image", wrongImage},
		{"the host has another address", otherAddress},
	},
}

// rejectPulls is the rule that keeps everybody from the registry.
const rejectPulls = "OUTPUT -p tcp --dport 5000 -j REJECT"

func cutOff(ctx context.Context, r *Round) error {
	return r.sh(ctx, "iptables -w -I "+rejectPulls+"; cp /etc/resolv.conf /run/resolv.before; echo nameserver 127.0.0.9 >/etc/resolv.conf").Error()
}

func reconnect(ctx context.Context, r *Round) error {
	return r.sh(ctx, "iptables -w -D "+rejectPulls+"; cat /run/resolv.before >/etc/resolv.conf").Error()
}

func clearFaults(_ context.Context, r *Round) error {
	r.Registry.ClearFaults()
	return nil
}

// partitioned: with the fault, a pass over a converged node ends with 0; an installation fails and says so; after the
// fault it ends well.
func (r *Round) partitioned(ctx context.Context, begin, end func(context.Context, *Round) error) error {
	a, err := r.absent(ctx)
	if err != nil {
		return err
	}
	if err := begin(ctx, r); err != nil {
		return err
	}
	r.Want(ctx, []int{0}, "reconcile")
	r.Want(ctx, []int{1, 3}, "install", a.ID)
	if err := end(ctx, r); err != nil {
		return err
	}
	r.Struck()
	r.Want(ctx, []int{0}, "install", a.ID)
	return nil
}

// absent removes an app that nobody needs, with its image, so that it must be pulled.
func (r *Round) absent(ctx context.Context) (App, error) {
	r.hit = r.Fleet
	a := r.leaf()
	r.sampler.allow(a.Container)
	r.Want(ctx, []int{0}, "remove", a.ID)
	return a, r.user(ctx, "podman rmi "+a.Image).Error()
}

// hangMidPull: the request for the image hangs, and fails when the network returns; the ladder tries again by itself.
func hangMidPull(ctx context.Context, r *Round) error {
	a, err := r.absent(ctx)
	if err != nil {
		return err
	}
	asked := r.Registry.Pulls(a.Image)
	r.Registry.SetFault("", registry.Fault{Hang: true})
	p, err := r.UserStart(ctx, "archy", "install", a.ID)
	if err != nil {
		return err
	}
	for range 200 {
		if r.Registry.Pulls(a.Image) > asked {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.Want(ctx, []int{0}, "reconcile", "--check-only")
	r.Registry.ClearFaults()
	r.Struck()
	res := p.Wait()
	r.keep(res)
	r.note(res)
	if res.Code != 0 {
		r.Fail("the installation did not end well when the registry came back: %v", res.Error())
	}
	return nil
}

// wrongImage: the manifest names the digest that it wants, and the registry has another image under the reference.
func wrongImage(ctx context.Context, r *Round) error {
	a, err := r.absent(ctx)
	if err != nil {
		return err
	}
	text, err := fs.ReadFile(apps.FS, a.ID+"/manifest.yml")
	if err != nil {
		return err
	}
	local := "/etc/archipelago/apps/" + a.ID + "/manifest.yml"
	pinned := strings.Replace(string(text), "image: "+a.Image, "image: "+a.Image+"\n    image_digest: sha256:"+strings.Repeat("0", 64), 1)
	if pinned == string(text) {
		return fmt.Errorf("the manifest of %s has no line with its image", a.ID)
	}
	if err := r.WriteFile(local, []byte(pinned), 0o644); err != nil {
		return err
	}
	r.Want(ctx, []int{1, 3}, "install", a.ID)
	if r.user(ctx, "podman image exists "+a.Image).Code == 0 {
		r.Fail("the wrong image is on the node under %s", a.Image)
	}
	if err := r.sh(ctx, "rm -r /etc/archipelago/apps/"+a.ID).Error(); err != nil {
		return err
	}
	r.Struck()
	r.Want(ctx, []int{0}, "install", a.ID)
	return nil
}

// otherAddress: the node gets a cable and an address, and loses them again. Values that follow the address are soft: they
// restart nothing.
func otherAddress(ctx context.Context, r *Round) error {
	r.hit = r.Fleet
	const up = `ip link add wan0 type veth peer name wan1; ip addr add 198.51.100.7/24 dev wan0
ip link set wan0 up; ip link set wan1 up; ip route add default via 198.51.100.1`
	if err := r.sh(ctx, up).Error(); err != nil {
		return err
	}
	r.Struck()
	r.Want(ctx, []int{0}, "reconcile")
	if err := r.sh(ctx, "ip link del wan0").Error(); err != nil {
		return err
	}
	r.Want(ctx, []int{0}, "reconcile")
	return nil
}
