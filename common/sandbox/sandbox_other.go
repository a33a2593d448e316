//go:build !linux

package sandbox

// applySystem does nothing yet and says so.
func applySystem(Profile) ([]string, error) { return []string{"limits alone"}, nil }
