package vm_test

import (
	"os"
	"path/filepath"
	"strings"
)

// onFAT are the tests of package boot that the machine repeats on FAT.
const onFAT = "TestNamesThatLeadNowhere|TestInstall|TestMakeFirst|TestCounters|TestSharedKernel|TestCollect|TestSwitchChecksPaths|" +
	"TestUKI|TestKeys|TestBless|TestRefill|TestNeverTwoDead|TestThirdTry|TestLastTry|TestBackToGood|TestRetry|TestDoubles"

// testOnFAT runs tests of package boot on FAT of the machine's kernel; the one
// that runs this may have none.
func (g *guest) testOnFAT() {
	t := g.s.t
	t.Helper()
	binary := filepath.Join(t.TempDir(), "boot.test")
	g.s.tool("go", "test", "-c", "-o", binary, "../../internal/machine/boot")
	f, err := os.Open(binary)
	g.s.must(err)
	defer f.Close()
	r, err := g.RunInput(g.s.ctx, "cat > /var/tmp/boot.test && chmod 755 /var/tmp/boot.test", f, nil)
	g.s.must(err)
	g.s.must(r.Failed())
	g.run("cd /var/tmp && mkdir fat.d && truncate -s 256M fat && mkfs.fat -F 32 -s 1 fat && mount -o loop,errors=continue fat fat.d")
	out := g.run("cd /var/tmp && TMPDIR=/var/tmp/fat.d ./boot.test -test.v -test.run '^(" + onFAT + ")$' && umount fat.d")
	for name := range strings.SplitSeq(onFAT, "|") {
		if !strings.Contains(out, "--- PASS: "+name+" ") {
			t.Errorf("%s has not passed on FAT:\n%s", name, out)
		}
	}
}
