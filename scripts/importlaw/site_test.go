package importlaw

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestSiteIsFixed: paths and accounts are set when a program is linked, so no
// code may change one, or take its address (package site).
func TestSiteIsFixed(t *testing.T) {
	files := token.NewFileSet()
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		uses, changes := siteUses(file)
		found += uses
		for _, pos := range changes {
			t.Errorf("%s: a variable of package site is changed", files.Position(pos))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("no use of package site found: this test looks at nothing")
	}
}

// siteUses counts the uses of package site in file and finds those that could
// change a variable.
func siteUses(file *ast.File) (uses int, changes []token.Pos) {
	isSite := func(e ast.Expr) bool {
		sel, ok := e.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		pkg, ok := sel.X.(*ast.Ident)
		return ok && pkg.Name == "site" && ast.IsExported(sel.Sel.Name) && importsSite(file)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if isSite(n) {
				uses++
			}
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if isSite(left) {
					changes = append(changes, n.Pos())
				}
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND && isSite(n.X) {
				changes = append(changes, n.Pos())
			}
		}
		return true
	})
	return uses, changes
}

func importsSite(file *ast.File) bool {
	for _, i := range file.Imports {
		if i.Path.Value == `"dma/common/site"` {
			return true
		}
	}
	return false
}

func TestSiteUses(t *testing.T) {
	const head = "package x\nimport \"dma/common/site\"\nfunc f() {\n"
	for body, want := range map[string]int{
		"_ = site.Spool":          0,
		"site.Spool = x":          1,
		"a, site.Spool = b, c":    1,
		"p := &site.Spool; _ = p": 1,
		"g(site.Private())":       0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", head+body+"}\n", 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, changes := siteUses(file); len(changes) != want {
			t.Errorf("%s: %d changes found, want %d", body, len(changes), want)
		}
	}
}
