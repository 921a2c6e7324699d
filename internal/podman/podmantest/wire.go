package podmantest

import (
	"fmt"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// listLine writes a container as podman's list does.
func listLine(c *podman.Inspect) map[string]any {
	health := ""
	if c.Health != nil {
		health = c.Health.Status
	}
	networks, targets, ports := []string{}, []string{}, []any{}
	for name := range c.Networks {
		networks = append(networks, name)
	}
	for _, m := range c.Mounts {
		targets = append(targets, m.Target)
	}
	for _, p := range c.Ports {
		ports = append(ports, map[string]any{
			"host_ip": p.HostIP, "host_port": p.HostPort, "container_port": p.ContainerPort, "range": 1, "protocol": p.Protocol,
		})
	}
	return map[string]any{
		"Id": c.ID, "Names": []string{c.Name}, "Image": c.Image, "ImageID": c.ImageID, "Created": c.Created,
		"State": c.State.Status, "Status": health, "Pid": c.State.Pid, "ExitCode": c.State.ExitCode,
		"StartedAt": c.State.StartedAt.Unix(), "ExitedAt": c.State.FinishedAt.Unix(), "AutoRemove": c.AutoRemove,
		"Labels": c.Labels, "Networks": networks, "Mounts": targets, "Ports": ports,
	}
}

// inspectData writes a container as podman's inspect does.
func inspectData(c *podman.Inspect) map[string]any {
	return map[string]any{
		"Id": c.ID, "Name": c.Name, "Created": c.Created,
		"Image": c.ImageID, "ImageName": c.Image, "ImageDigest": c.ImageDigest,
		"RestartCount": c.RestartCount, "EffectiveCaps": c.EffectiveCaps,
		"Mounts": mounts(c), "NetworkSettings": map[string]any{"Networks": endpoints(c)},
		"State": map[string]any{
			"Status": c.State.Status, "Running": c.State.Running, "Paused": c.State.Paused, "OOMKilled": c.State.OOMKilled,
			"Pid": c.State.Pid, "ConmonPid": c.State.ConmonPid, "ExitCode": c.State.ExitCode, "Error": c.State.Error,
			"StartedAt": c.State.StartedAt, "FinishedAt": c.State.FinishedAt, "CgroupPath": c.State.CgroupPath, "Health": c.Health,
		},
		"Config": map[string]any{
			// Not the Env type, which hides the values.
			"Env": []string(c.Env), "Cmd": c.Cmd, "Entrypoint": c.Entrypoint, "User": c.User, "Hostname": c.Hostname, "Labels": c.Labels,
			"Healthcheck": c.Healthcheck, "HealthcheckOnFailureAction": c.HealthOnFailure,
			"StopSignal": c.StopSignal, "StopTimeout": int(c.StopTimeout / time.Second), "Secrets": secretNames(c),
		},
		"HostConfig": hostConfig(c), "GraphDriver": map[string]any{"Name": "overlay", "Data": map[string]string{"UpperDir": c.Layer}},
	}
}

func hostConfig(c *podman.Inspect) map[string]any {
	devices := []any{}
	for _, d := range c.Devices {
		devices = append(devices, map[string]string{"PathOnHost": d.Host, "PathInContainer": d.Container, "CgroupPermissions": d.Permissions})
	}
	return map[string]any{
		"NetworkMode": c.NetworkMode, "PortBindings": portBindings(c), "RestartPolicy": map[string]any{"Name": c.RestartPolicy},
		"LogConfig": map[string]any{"Type": c.LogDriver}, "AutoRemove": c.AutoRemove, "Privileged": c.Privileged,
		"ReadonlyRootfs": c.ReadOnly, "CapAdd": c.CapAdd, "CapDrop": c.CapDrop, "ExtraHosts": c.ExtraHosts, "SecurityOpt": c.SecurityOpt,
		"Tmpfs": c.Tmpfs, "ShmSize": c.ShmSize, "Memory": c.Memory, "PidsLimit": c.PidsLimit, "NanoCpus": c.NanoCPUs,
		"CpuQuota": c.CPUQuota, "CpuPeriod": c.CPUPeriod, "Devices": devices,
	}
}

func mounts(c *podman.Inspect) []any {
	out := []any{}
	for _, m := range c.Mounts {
		out = append(out, map[string]any{
			"Type": m.Type, "Name": m.Name, "Source": m.Source, "Destination": m.Target, "Options": m.Options, "RW": m.RW,
		})
	}
	return out
}

func endpoints(c *podman.Inspect) map[string]any {
	out := map[string]any{}
	for name, e := range c.Networks {
		out[name] = map[string]any{"IPAddress": e.IP, "Gateway": e.Gateway, "Aliases": e.Aliases}
	}
	return out
}

func portBindings(c *podman.Inspect) map[string][]map[string]string {
	out := map[string][]map[string]string{}
	for _, p := range c.Ports {
		key := fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol)
		out[key] = append(out[key], map[string]string{"HostIp": p.HostIP, "HostPort": fmt.Sprint(p.HostPort)})
	}
	return out
}

func secretNames(c *podman.Inspect) []map[string]string {
	var out []map[string]string
	for _, name := range c.Secrets {
		out = append(out, map[string]string{"Name": name})
	}
	return out
}
