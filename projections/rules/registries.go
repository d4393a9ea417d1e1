package rules

// RegistryMaxAge is the greatest age in days at which any pack still accepts a
// registry's list, and the pack that says so: of several the strictest. ok is
// false if no pack knows the registry.
func (p *Packs) RegistryMaxAge(registry string) (days int, pack string, ok bool) {
	for _, k := range p.packs {
		for i := range k.Registry {
			r := &k.Registry[i]
			if r.Registry == registry && r.MaxAgeDays > 0 && (!ok || r.MaxAgeDays < days) {
				days, pack, ok = r.MaxAgeDays, k.ID, true
			}
		}
	}
	return days, pack, ok
}

// AsksRegistry tells whether any rule asks what a registry says.
func (p *Packs) AsksRegistry(registry string) bool {
	for _, k := range p.packs {
		for i := range k.Registry {
			if k.Registry[i].Registry == registry {
				return true
			}
		}
	}
	return false
}
