package quadlet

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containers/podman/v5/pkg/systemd/parser"
	"github.com/containers/podman/v5/pkg/systemd/quadlet"
)

// ErrCrash is in the chain of an error about a unit that ends podman's generator, and with it every app's service.
var ErrCrash = errors.New("podman's generator would crash on it")

// Validate converts all units as podman 5.4.2's generator does for a user's systemd, in-process. units are file names
// with their texts; the networks that containers name must be among them. A unit that does not convert would silently
// vanish at the next reload. All errors are returned, joined, each with the name of its unit.
func Validate(units map[string][]byte) error {
	_, err := ConvertAll(units)
	return err
}

// Convert converts one unit to the text of its service. Networks that it names are taken to exist.
func Convert(name string, unit []byte) (service []byte, err error) {
	f, err := parse(name, unit)
	if err != nil {
		return nil, err
	}
	info := infoOf(f)
	for _, network := range f.LookupAll(quadlet.ContainerGroup, quadlet.KeyNetwork) {
		if base, ok := strings.CutSuffix(network, ".network"); ok {
			info[network] = &quadlet.UnitInfo{ServiceName: base + "-network", ResourceName: base}
		}
	}
	return convert(f, info)
}

// ConvertAll converts units that know each other to their services; the keys are the services' file names. It
// returns those that convert, and the errors of the others, joined.
func ConvertAll(units map[string][]byte) (services map[string][]byte, err error) {
	var files []*parser.UnitFile
	var errs []error
	info := map[string]*quadlet.UnitInfo{}
	for _, name := range slices.Sorted(maps.Keys(units)) {
		f, err := parse(name, units[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		files = append(files, f)
		maps.Copy(info, infoOf(f))
	}
	// Networks first: converting one is what makes its name known to the containers.
	slices.SortStableFunc(files, func(a, b *parser.UnitFile) int { return rank(a) - rank(b) })
	services = map[string][]byte{}
	for _, f := range files {
		service, err := convert(f, info)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		services[info[f.Filename].ServiceFileName()] = service
	}
	return services, errors.Join(errs...)
}

func rank(f *parser.UnitFile) int {
	if strings.HasSuffix(f.Filename, ".network") {
		return 0
	}
	return 1
}

func parse(name string, text []byte) (*parser.UnitFile, error) {
	f := parser.NewUnitFile()
	f.Filename = name
	if err := f.Parse(string(text)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

func infoOf(f *parser.UnitFile) map[string]*quadlet.UnitInfo {
	info := &quadlet.UnitInfo{}
	switch {
	case strings.HasSuffix(f.Filename, ".container"):
		info.ServiceName = quadlet.GetContainerServiceName(f)
		info.ResourceName = quadlet.GetContainerResourceName(f)
	case strings.HasSuffix(f.Filename, ".network"):
		info.ServiceName = quadlet.GetNetworkServiceName(f)
	}
	return map[string]*quadlet.UnitInfo{f.Filename: info}
}

func convert(f *parser.UnitFile, info map[string]*quadlet.UnitInfo) (text []byte, err error) {
	const user = true
	var service *parser.UnitFile
	// Podman's code indexes into values of units that people write, and panics on a Mount= without a source. The node's
	// generator dies of such a unit, and with it every other app's service, so it is an error like any other.
	defer func() {
		if cause := recover(); cause != nil {
			text, err = nil, fmt.Errorf("%s: %w: %v", f.Filename, ErrCrash, cause)
		}
	}()
	switch {
	case strings.HasSuffix(f.Filename, ".container"):
		service, err = quadlet.ConvertContainer(f, user, info)
	case strings.HasSuffix(f.Filename, ".network"):
		service, err = quadlet.ConvertNetwork(f, f.Filename, info, user)
	default:
		err = errors.New("neither a .container nor a .network unit")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s", f.Filename, strings.TrimSuffix(err.Error(), " in "+f.Path))
	}
	whole, err := service.ToString()
	return []byte(whole), err
}
