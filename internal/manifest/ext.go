package manifest

// Ext is the text extensions.archipelago.<key>, "" when it is absent or no text.
func (a *App) Ext(key string) string {
	text, _ := a.extension(key).(string)
	return text
}

// ExtList is the list of texts extensions.archipelago.<key>; a text alone is a list of one.
func (a *App) ExtList(key string) []string {
	switch value := a.extension(key).(type) {
	case string:
		return []string{value}
	case []any:
		var out []string
		for _, item := range value {
			if text, ok := item.(string); ok {
				out = append(out, text)
			}
		}
		return out
	}
	return nil
}

func (a *App) extension(key string) any {
	own, _ := a.Extensions["archipelago"].(map[string]any)
	return own[key]
}
