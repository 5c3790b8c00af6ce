// Renders a Helm chart as `helm template` does, with Go's templates and sprig: values are merged, `include`, `required`,
// `toYaml` and `.Files.Get` are there. A value that the chart names and does not have is an error here.
//
//	render CHART RELEASE NAMESPACE [VALUES...]
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type files struct{ root string }

func (f files) Get(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(f.root, name))
	return string(text), err
}

func read(path string, into any) {
	text, err := os.ReadFile(path)
	check(err)
	check(yaml.UnmarshalStrict(text, into))
}

func merge(into, from map[string]any) map[string]any {
	for key, value := range from {
		old, isOld := into[key].(map[string]any)
		new, isNew := value.(map[string]any)
		if isOld && isNew {
			value = merge(old, new)
		}
		into[key] = value
	}
	return into
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	root, values := os.Args[1], map[string]any{}
	for _, path := range append([]string{filepath.Join(root, "values.yaml")}, os.Args[4:]...) {
		given := map[string]any{}
		read(path, &given)
		merge(values, given)
	}
	var chart struct{ Name, Version, AppVersion string }
	var all map[string]any
	read(filepath.Join(root, "Chart.yaml"), &all)
	chart.Name, chart.Version, chart.AppVersion = all["name"].(string), all["version"].(string), all["appVersion"].(string)

	set := template.New("chart").Option("missingkey=error")
	functions := sprig.TxtFuncMap()
	delete(functions, "env")
	delete(functions, "expandenv")
	functions["include"] = func(name string, data any) (string, error) {
		var text strings.Builder
		err := set.ExecuteTemplate(&text, name, data)
		return text.String(), err
	}
	functions["toYaml"] = func(value any) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	functions["required"] = func(words string, value any) (any, error) {
		if value == nil || value == "" {
			return nil, errors.New(words)
		}
		return value, nil
	}
	set.Funcs(functions)

	paths, err := filepath.Glob(filepath.Join(root, "templates", "*"))
	check(err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		check(err)
		_, err = set.New(filepath.Base(path)).Parse(string(text))
		check(err)
	}
	data := map[string]any{
		"Values": values, "Chart": chart, "Files": files{root},
		"Release": map[string]any{"Name": os.Args[2], "Namespace": os.Args[3], "Service": "Helm"},
	}
	for _, path := range paths {
		if strings.HasSuffix(path, ".yaml") {
			fmt.Printf("---\n# Source: %s\n", filepath.Base(path))
			check(set.ExecuteTemplate(os.Stdout, filepath.Base(path), data))
		}
	}
}
