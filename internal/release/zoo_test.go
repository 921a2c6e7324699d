package release

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
)

// animal is a hostile or broken archive with exactly the codes that it must be refused with.
type animal struct {
	name  string
	items []item
	data  []byte // the whole file instead of items
	rules func(*Rules)
	codes string
}

func symlinks(r *Rules) { r.AllowSymlinks = true }

// zoo is also where fuzzing starts.
func zoo() []animal {
	var all []animal
	for _, group := range [][]animal{zooNames(), zooTypes(), zooModes(), zooMembers(), zooLinks(), zooFormat(), zooExtended(), zooGzip(), zooLimits()} {
		all = append(all, group...)
	}
	return all
}

func zooNames() []animal {
	return []animal{
		{name: "absolute", items: plus(file("/etc/passwd", "x")), codes: "E_NAME_ABSOLUTE"},
		{name: "absolute directory", items: plus(dir("//x/")), codes: "E_NAME_ABSOLUTE"},
		{name: "upwards", items: plus(file("./../x", "x")), codes: "E_NAME_TRAVERSAL"},
		{name: "upwards in the middle", items: plus(file("./assets/../../x", "x")), codes: "E_NAME_TRAVERSAL"},
		{name: "upwards at the end", items: plus(dir("./assets/..")), codes: "E_NAME_TRAVERSAL"},
		{name: "only upwards", items: plus(dir("../")), codes: "E_NAME_TRAVERSAL"},
		{name: "empty name", items: plus(file("", "x")), codes: "E_NAME_INVALID"},
		{name: "empty element", items: plus(file("./assets//x", "x")), codes: "E_NAME_INVALID"},
		{name: "dot element", items: plus(file("./assets/./x", "x")), codes: "E_NAME_INVALID"},
		{name: "dot dot slash slash", items: plus(file(".//x", "x")), codes: "E_NAME_INVALID"},
		{name: "backslash", items: plus(file(`./x\..\y`, "x")), codes: "E_NAME_INVALID"},
		{name: "line feed", items: plus(file("./x\ny", "x")), codes: "E_NAME_INVALID"},
		{name: "escape", items: plus(file("./x\x1b[2J", "x")), codes: "E_NAME_INVALID"},
		{name: "C1 control", items: plus(file("./x\u009b", "x")), codes: "E_NAME_INVALID"},
		{name: "not UTF-8", items: plus(file("./x\xff\xfe", "x")), codes: "E_NAME_INVALID"},
		{name: "bytes behind NUL", items: plus(item{name: "./x", afterName: "/../../etc", kind: typeFile, mode: 0o644, mtime: epoch}), codes: "E_NAME_INVALID"},
		{name: "NUL in a PAX path", items: plus(pax("path=./x\x00y"), file("./x", "x")), codes: "E_NAME_INVALID"},
		{name: "file with a slash behind", items: plus(file("./x/", "x")), codes: "E_NAME_INVALID"},
		{name: "v7 file with a slash behind", items: plus(item{name: "./x/", kind: typeFileV7, mode: 0o644, mtime: epoch, magic: "\x00"}), codes: "E_NAME_INVALID"},
		{name: "duplicate file", items: plus(file("./x", "1"), file("./x", "2")), codes: "E_NAME_DUPLICATE"},
		{name: "duplicate index", items: plus(file("index.html", "<p>other")), codes: "E_NAME_DUPLICATE"},
		{name: "duplicate directory", items: plus(dir("./x/"), dir("./x")), codes: "E_NAME_DUPLICATE"},
		{name: "second root", items: plus(dir("./")), codes: "E_NAME_DUPLICATE"},
		{name: "case twin", items: plus(file("./y", ""), file("./yY", ""), file("./yy", "")), codes: "E_NAME_CASEFOLD"},
		{name: "case twin beyond ASCII", items: plus(file("./STRASSE", ""), file("./straße", "")), codes: "E_NAME_CASEFOLD W_ORDER"},
		{name: "normal form twin", items: plus(file("./ze\u0301", ""), file("./z\u00e9", "")), codes: "E_NAME_NFC"},
		{name: "Kelvin sign", items: plus(file("./k", ""), file("./\u212a", "")), codes: "E_NAME_CASEFOLD"},
		{name: "file and directory", items: plus(file("./x", "1"), dir("./x/")), codes: "E_FILE_DIR_CONFLICT E_NAME_DUPLICATE"},
		{name: "file below a file", items: plus(file("./x", "1"), file("./x/y", "1")), codes: "E_FILE_DIR_CONFLICT"},
		{name: "no parent", items: plus(file("./x/y", "1")), codes: "E_PARENT_MISSING"},
		{name: "parent too late", items: plus(file("./x/y", "1"), dir("./x/")), codes: "E_PARENT_MISSING W_ORDER"},
		{name: "wrong order", items: plus(file("./b", "1")), codes: "W_ORDER"},
	}
}

func zooTypes() []animal {
	typed := func(kind byte) []item { return plus(file("./x", "").with(func(i *item) { i.kind = kind })) }
	return []animal{
		{name: "character device", items: typed('3'), codes: "E_TYPE_FORBIDDEN"},
		{name: "block device", items: typed('4'), codes: "E_TYPE_FORBIDDEN"},
		{name: "named pipe", items: typed('6'), codes: "E_TYPE_FORBIDDEN"},
		{name: "contiguous file", items: typed('7'), codes: "E_TYPE_FORBIDDEN"},
		{name: "unknown type", items: typed('Z'), codes: "E_TYPE_FORBIDDEN"},
		{name: "GNU dump directory", items: typed('D'), codes: "E_TYPE_FORBIDDEN"},
		{name: "GNU volume label", items: typed('V'), codes: "E_TYPE_FORBIDDEN"},
		{name: "GNU multi-volume", items: typed('M'), codes: "E_TYPE_FORBIDDEN"},
		{name: "GNU sparse", items: plus(file("./x", "").with(func(i *item) { i.kind, i.magic = 'S', "ustar  \x00" })), codes: "E_TYPE_FORBIDDEN"},
		{name: "GNU sparse with a longer map", items: plus(
			file("./x", "").with(func(i *item) { i.kind, i.magic, i.extendedMore = 'S', "ustar  \x00", true }),
			blocks(make([]byte, blockSize)...), file("./y", "y")), codes: "E_TYPE_FORBIDDEN"},
		{name: "PAX sparse", items: plus(pax("GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=99999999"), file("./x", "0\n")), codes: "E_TYPE_FORBIDDEN"},
		{name: "hard link", items: plus(file("./x", "").with(func(i *item) { i.kind, i.link = typeHardlink, "./index.html" })), codes: "E_HARDLINK"},
		{name: "hard link to /etc/shadow", items: plus(file("./x", "").with(func(i *item) { i.kind, i.link = typeHardlink, "/etc/shadow" })), codes: "E_HARDLINK"},
		{name: "symlink", items: plus(link("./x", "index.html")), codes: "E_SYMLINK_FORBIDDEN"},
	}
}

func zooModes() []animal {
	mode := func(name string, mode int64) []item { return changed(name, func(i *item) { i.mode = mode }) }
	return []animal{
		{name: "root 0700", items: mode("./", 0o700), codes: "E_ROOT_MODE"},
		{name: "root 0750", items: mode("./", 0o750), codes: "E_ROOT_MODE"},
		{name: "root 0711", items: mode("./", 0o711), codes: "E_ROOT_MODE"},
		{name: "root 0775", items: mode("./", 0o775), codes: "E_MODE_WRITABLE E_ROOT_MODE"},
		{name: "root setgid", items: mode("./", 0o2755), codes: "E_MODE_SPECIAL E_ROOT_MODE"},
		{name: "no root", items: without("./"), codes: "E_ROOT_MISSING E_ROOT_NOT_FIRST"},
		{name: "root later", items: append(without("./"), dir("./")), codes: "E_ROOT_NOT_FIRST"},
		{name: "root a file", items: changed("./", func(i *item) { i.kind, i.name = typeFile, "." }), codes: "E_ROOT_MISSING"},
		{name: "directory 0700", items: mode("./assets/", 0o700), codes: "E_DIR_MODE"},
		{name: "directory without x", items: mode("./assets/", 0o744), codes: "E_DIR_MODE"},
		{name: "file 0600", items: mode("./index.html", 0o600), codes: "E_FILE_MODE"},
		{name: "file 0000", items: mode("./assets/app.js", 0), codes: "E_FILE_MODE"},
		{name: "setuid", items: mode("./assets/app.js", 0o4755), codes: "E_MODE_SPECIAL"},
		{name: "sticky", items: mode("./assets/", 0o1755), codes: "E_MODE_SPECIAL"},
		{name: "group-writable", items: mode("./assets/app.js", 0o664), codes: "E_MODE_WRITABLE"},
		{name: "world-writable", items: mode("./assets/", 0o777), codes: "E_MODE_WRITABLE"},
		{name: "owner 1000", items: changed("./index.html", func(i *item) { i.uid = 1000 }), codes: "E_OWNER"},
		{name: "group 1000", items: changed("./index.html", func(i *item) { i.gid = 1000 }), codes: "E_OWNER"},
		{name: "owner by name", items: changed("./index.html", func(i *item) { i.user = "www-data" }), codes: "E_OWNER"},
		{name: "owner by PAX", items: plus(pax("uid=1000"), file("./x", "")), codes: "E_OWNER"},
		{name: "from the future", items: changed("./index.html", func(i *item) { i.mtime = now.Unix() + 86401 }), codes: "E_MTIME_FUTURE"},
		{name: "two times", items: changed("./index.html", func(i *item) { i.mtime = 1 }),
			rules: func(r *Rules) { e := int64(epoch); r.Epoch = &e }, codes: "E_MTIME_MIXED"},
	}
}

func zooMembers() []animal {
	text := func(name, data string) []item { return changed(name, func(i *item) { i.data = data }) }
	return []animal{
		{name: "no index", items: without("./index.html"), codes: "E_MEMBER_MISSING"},
		{name: "empty index", items: text("./index.html", ""), codes: "E_MEMBER_EMPTY"},
		{name: "index names what is not there", items: text("./index.html", `<script type=module src="/assets/gone.js">`), codes: "E_ASSET_MISSING"},
		{name: "index names a directory", items: text("./index.html", `<link href="/assets/" rel="icon stylesheet">`), codes: "E_ASSET_MISSING"},
		{name: "no script", items: without("./assets/app.js"), codes: "E_ASSET_MISSING E_MEMBER_MISSING"},
		{name: "no catalogue", items: without("./catalog.json"), codes: "E_MEMBER_MISSING"},
		{name: "catalogue not JSON", items: text("./catalog.json", "<html>"), codes: "E_MEMBER_INVALID"},
		{name: "no aiui", items: without("./aiui/index.html"), codes: "E_MEMBER_MISSING"},
		{name: "no apps", items: without("./archipelago-runtime/apps/web/manifest.yml"), codes: "E_MEMBER_MISSING"},
		{name: "required member", items: goodItems(), rules: func(r *Rules) { r.Require = []string{"files/client.js"} }, codes: "E_MEMBER_MISSING"},
		{name: "app manifest", items: text("./archipelago-runtime/apps/web/manifest.yml", "app: {id: other}"), codes: "E_APP_MANIFEST"},
		{name: "app manifest not YAML", items: text("./archipelago-runtime/apps/web/manifest.yml", "{{{"), codes: "E_APP_MANIFEST"},
		{name: "huge app manifest", items: text("./archipelago-runtime/apps/web/manifest.yml", random(maxManifest+1)), codes: "E_APP_MANIFEST E_MEMBER_MISSING"},
		{name: "everything in a directory", items: wrapped(), codes: "E_MEMBER_MISSING"},
		{name: "nothing", items: []item{}, codes: "E_MEMBER_MISSING E_ROOT_MISSING"},
	}
}

func zooLinks() []animal {
	linked := func(items ...item) []item { return plus(items...) }
	chain := goodItems()
	for i := range 50 {
		chain = append(chain, link(fmt.Sprintf("./l%02d", i), fmt.Sprintf("l%02d", i+1)))
	}
	chain = append(chain, file("./l50", "x"))
	return []animal{
		{name: "link out", items: linked(link("./x", "../x")), rules: symlinks, codes: "E_SYMLINK_ESCAPE"},
		{name: "absolute link", items: linked(link("./x", "/etc/passwd")), rules: symlinks, codes: "E_SYMLINK_ESCAPE"},
		{name: "link out and in again", items: linked(link("./x", "assets/../../web-ui/index.html")), rules: symlinks, codes: "E_SYMLINK_ESCAPE"},
		{name: "out over three links", items: linked(dir("./x/"), link("./x/a", "b"), link("./x/b", "../y"), link("./y", "assets/../..")), rules: symlinks, codes: "E_SYMLINK_ESCAPE"},
		{name: "dangling", items: linked(link("./x", "nowhere")), rules: symlinks, codes: "E_SYMLINK_DANGLING"},
		{name: "link to itself", items: linked(link("./x", "x")), rules: symlinks, codes: "E_SYMLINK_DANGLING"},
		{name: "two links in a circle", items: linked(link("./x", "y"), link("./y", "x")), rules: symlinks, codes: "E_SYMLINK_DANGLING"},
		{name: "50 hops", items: chain, rules: symlinks, codes: "E_SYMLINK_DANGLING"},
		{name: "file through a link", items: linked(link("./x", "assets"), file("./x/evil.js", "x")), rules: symlinks, codes: "E_FILE_DIR_CONFLICT"},
		{name: "link, then directory", items: linked(link("./x", "assets"), dir("./x/"), file("./x/y", "")), rules: symlinks, codes: "E_FILE_DIR_CONFLICT E_NAME_DUPLICATE"},
		{name: "empty link", items: linked(link("./x", "")), rules: symlinks, codes: "E_NAME_INVALID"},
		{name: "link out, not allowed at all", items: linked(link("./x", "../x")), codes: "E_SYMLINK_ESCAPE E_SYMLINK_FORBIDDEN"},
		{name: "tangled links", items: tangled(), rules: symlinks, codes: "E_SYMLINK_DANGLING"},
	}
}

// tangled links cost millions of steps to follow.
func tangled() []item {
	items := plus(dir("./z/"), dir("./z/a/"), file("./z/end", ""))
	for i := range 2000 {
		target := strings.Repeat("a/../", 15) + fmt.Sprintf("y%04d", i+1)
		if i%30 == 29 {
			target = "end"
		}
		items = append(items, link(fmt.Sprintf("./z/y%04d", i), target))
	}
	return items
}

func zooFormat() []animal {
	good := tarOf(goodItems())
	body := good[:len(good)-2*blockSize]
	with := func(tail ...byte) []byte { return gz(append(bytes.Clone(body), tail...)) }
	zeros := func(n int) []byte { return make([]byte, n) }
	sized := func(size string) []item { return plus(file("./x", "").with(func(i *item) { i.size = size })) }
	return []animal{
		{name: "wrong header checksum", items: plus(file("./x", "").with(func(i *item) { i.badSum = true })), codes: "E_TAR_FORMAT"},
		{name: "not tar", data: gz(bytes.Repeat([]byte("hello world "), 1000)), codes: "E_TAR_FORMAT"},
		{name: "unknown magic", items: plus(file("./x", "").with(func(i *item) { i.magic = "evil\x00\x00\x00\x00" })), codes: "E_TAR_FORMAT"},
		{name: "size not octal", items: sized("9999"), codes: "E_TAR_FORMAT"},
		{name: "size negative", items: sized("-1"), codes: "E_TAR_FORMAT"},
		{name: "size negative in base 256", items: sized(strings.Repeat("\xff", 12)), codes: "E_TAR_FORMAT"},
		{name: "size above 63 bits", items: sized("\x80\xff" + strings.Repeat("\xff", 10)), codes: "E_OVERFLOW"},
		{name: "size 2^63", items: sized("\x80\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00"), codes: "E_OVERFLOW"},
		{name: "sum above 63 bits", items: plus(file("./x", "12345678"), file("./y", "").with(func(i *item) { i.size = base256Size(1<<63 - 8) })), codes: "E_OVERFLOW"},
		{name: "size 8 EiB less one", items: []item{dir("./"), file("./y", "").with(func(i *item) { i.size = base256Size(1<<63 - 1) })}, codes: "E_LIMIT_ENTRY_SIZE"},
		{name: "directory with content", items: plus(dir("./x/").with(func(i *item) { i.data = "hidden" })), codes: "E_TAR_FORMAT"},
		{name: "symlink with content", items: plus(link("./x", "y").with(func(i *item) { i.data = string(file("./evil", "").block()) })), codes: "E_TAR_FORMAT"},
		{name: "padding with content", items: plus(file("./x", "1").with(func(i *item) { i.fill = 'e' })), codes: "E_TAR_FORMAT"},
		{name: "no end", data: with(), codes: "E_TRUNCATED"},
		{name: "one zero block", data: with(zeros(blockSize)...), codes: "E_TRUNCATED"},
		{name: "one zero block, then an entry", data: with(append(zeros(blockSize), tarOf(plus(file("./x", "")))...)...), codes: "E_TAR_FORMAT"},
		{name: "archive behind the end", data: gz(append(tarOf(goodItems()), tarOf([]item{file("./evil", "x")})...)), codes: "E_TRAILING_DATA"},
		{name: "a byte behind the end", data: gz(append(tarOf(goodItems()), 1)), codes: "E_TRAILING_DATA"},
		{name: "a byte far behind the end", data: gz(append(append(tarOf(goodItems()), zeros(99_999)...), 1)), codes: "E_TRAILING_DATA"},
		{name: "cut in a header", data: with(dir("./x/").block()[:100]...), codes: "E_TRUNCATED"},
		{name: "cut in a content", data: with(file("./x", random(5000)).block()[:1000]...), codes: "E_TRUNCATED"},
		{name: "claims more than there is", items: sized("00000100000"), codes: "E_TRUNCATED"},
		{name: "mode above 63 bits", items: plus(item{raw: oversizedMode()}), codes: "E_OVERFLOW"},
	}
}

func zooExtended() []animal {
	long := func(kind byte, text string) item {
		return item{name: "././@LongLink", kind: kind, magic: "ustar  \x00", mode: 0o644, data: text}
	}
	return []animal{
		{name: "global PAX header", items: append([]item{pax("comment=x").with(func(i *item) { i.kind = typePaxGlobal })}, goodItems()...), codes: "E_PAX_GLOBAL"},
		{name: "global PAX path", items: plus(pax("path=./evil").with(func(i *item) { i.kind = typePaxGlobal }), file("./x", "")), codes: "E_PAX_GLOBAL"},
		{name: "extended attribute", items: plus(pax("SCHILY.xattr.user.x=1"), file("./x", "")), codes: "E_XATTR"},
		{name: "file capability", items: plus(pax("SCHILY.xattr.security.capability=\x01"), file("./x", "")), codes: "E_XATTR"},
		{name: "ACL", items: plus(pax("SCHILY.acl.access=user::rwx"), file("./x", "")), codes: "E_XATTR"},
		{name: "SELinux label", items: plus(pax("RHT.security.selinux=x"), file("./x", "")), codes: "E_XATTR"},
		{name: "unknown PAX key", items: plus(pax("EVIL.key=1"), file("./x", "")), codes: "E_XATTR"},
		{name: "PAX path upwards", items: plus(pax("path=../evil"), file("./x", "")), codes: "E_NAME_TRAVERSAL"},
		{name: "PAX path absolute", items: plus(pax("path=/evil"), file("./x", "")), codes: "E_NAME_ABSOLUTE"},
		{name: "PAX path hides a twin", items: plus(pax("path=index.html"), file("./x", "<p>")), codes: "E_NAME_DUPLICATE"},
		{name: "PAX size differs", items: plus(pax("size=512"), file("./x", "").with(func(i *item) { i.raw = append(file("./x", "").block(), file("./evil", "").block()...) })), codes: "E_TAR_FORMAT"},
		{name: "PAX size above 63 bits", items: plus(pax("size=99999999999999999999"), file("./x", "")), codes: "E_OVERFLOW"},
		{name: "PAX size huge", items: plus(pax("size=9223372036854775000"), file("./x", "")), codes: "E_LIMIT_ENTRY_SIZE"},
		{name: "PAX size no number", items: plus(pax("size=0x10"), file("./x", "")), codes: "E_TAR_FORMAT"},
		{name: "PAX key twice", items: plus(pax("path=./x", "path=./y"), file("./x", "")), codes: "E_TAR_FORMAT"},
		{name: "two PAX headers", items: plus(pax("path=./x"), pax("path=./y"), file("./x", "")), codes: "E_TAR_FORMAT"},
		{name: "PAX header at the end", items: plus(pax("path=./x")), codes: "E_TAR_FORMAT"},
		{name: "broken PAX record", items: plus(pax().with(func(i *item) { i.data = "999 path=x\n" }), file("./x", "")), codes: "E_TAR_FORMAT"},
		{name: "PAX record without length", items: plus(pax().with(func(i *item) { i.data = "path=x\n" }), file("./x", "")), codes: "E_TAR_FORMAT"},
		{name: "huge PAX header", items: plus(pax("comment="+random(maxExtended)), file("./x", "")), codes: "E_LIMIT_ENTRY_SIZE"},
		{name: "GNU long name", items: plus(long(typeLongName, "./"+strings.Repeat("x", 120)+"\x00"), file("./"+strings.Repeat("x", 98), "")), codes: "E_TYPE_FORBIDDEN"},
		{name: "GNU long name upwards", items: plus(long(typeLongName, "./"+strings.Repeat("../", 50)+"evil\x00"), file("./x", "")), codes: "E_NAME_TRAVERSAL E_TYPE_FORBIDDEN"},
		{name: "GNU long link", items: plus(long(typeLongLink, strings.Repeat("../", 50)+"\x00"), link("./x", "y")), codes: "E_SYMLINK_ESCAPE E_SYMLINK_FORBIDDEN E_TYPE_FORBIDDEN"},
		{name: "two GNU long names", items: plus(long(typeLongName, "./x\x00"), long(typeLongName, "./y\x00"), file("./x", "")), codes: "E_TAR_FORMAT E_TYPE_FORBIDDEN"},
	}
}

func zooGzip() []animal {
	good := tgz(goodItems())
	edit := func(f func([]byte)) []byte { b := bytes.Clone(good); f(b); return b }
	return []animal{
		{name: "empty file", data: []byte{}, codes: "E_TRUNCATED"},
		{name: "not gzip", data: []byte("PK\x03\x04 this is a zip file"), codes: "E_GZIP_FORMAT"},
		{name: "plain tar", data: tarOf(goodItems()), codes: "E_GZIP_FORMAT"},
		{name: "two bytes, not gzip", data: []byte("BZ"), codes: "E_GZIP_FORMAT"},
		{name: "reserved flag", data: edit(func(b []byte) { b[3] |= 0x80 }), codes: "E_GZIP_FORMAT"},
		{name: "other method", data: edit(func(b []byte) { b[2] = 9 }), codes: "E_GZIP_FORMAT"},
		{name: "wrong header checksum in gzip", data: append([]byte{0x1f, 0x8b, 8, 2, 0, 0, 0, 0, 0, 255, 1, 2}, good[10:]...), codes: "E_GZIP_FORMAT"},
		{name: "endless gzip name", data: append([]byte{0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255}, bytes.Repeat([]byte("a"), 1<<20)...), codes: "E_GZIP_FORMAT"},
		{name: "damaged deflate", data: edit(func(b []byte) { b[10] = 7 }), codes: "E_GZIP_FORMAT"},
		{name: "wrong checksum", data: edit(func(b []byte) { b[len(b)-8]++ }), codes: "E_GZIP_CHECKSUM"},
		{name: "wrong length", data: edit(func(b []byte) { b[len(b)-4]++ }), codes: "E_GZIP_CHECKSUM"},
		{name: "two members", data: append(bytes.Clone(good), good...), codes: "E_GZIP_MULTIMEMBER"},
		{name: "archive in two members", data: append(gz(tarOf(goodItems())[:4096]), gz(tarOf(goodItems())[4096:])...), codes: "E_GZIP_MULTIMEMBER E_TRUNCATED"},
		{name: "empty second member", data: append(bytes.Clone(good), gz(nil)...), codes: "E_GZIP_MULTIMEMBER"},
		{name: "bytes behind gzip", data: append(bytes.Clone(good), "evil"...), codes: "E_TRAILING_DATA"},
		{name: "zeros behind gzip", data: append(bytes.Clone(good), 0, 0, 0), codes: "E_TRAILING_DATA"},
		{name: "no trailer", data: good[:len(good)-8], codes: "E_TRUNCATED"},
	}
}

// longest is a good archive with a file whose path has 820 bytes and those of its last element; ./ in front is not counted.
func longest(last int) []item {
	items := goodItems()
	path := "."
	for range 4 {
		path += "/" + strings.Repeat("x", 204)
		items = append(items, pax("path="+path+"/"), dir("./x"))
	}
	return append(items, pax("path="+path+"/"+strings.Repeat("y", last)), file("./x", "x"))
}

func zooLimits() []animal {
	limit := func(f func(*Limits)) func(*Rules) { return func(r *Rules) { f(&r.Limits) } }
	deep := goodItems()
	for i := range 33 {
		deep = append(deep, dir("./x"+strings.Repeat("/x", i)))
	}
	return []animal{
		{name: "bomb of zeros", items: plus(file("./x", strings.Repeat("\x00", 20<<20))), codes: "E_LIMIT_RATIO"},
		{name: "bomb behind the end", data: gz(append(tarOf(goodItems()), make([]byte, 20<<20)...)), codes: "E_LIMIT_RATIO"},
		{name: "unpacked", items: plus(file("./x", random(8000)), file("./y", random(8000))), rules: limit(func(l *Limits) { l.Unpacked = 10_000 }), codes: "E_LIMIT_UNPACKED"},
		{name: "unpacked, of headers alone", items: plus(), rules: limit(func(l *Limits) { l.Unpacked = 3_000 }), codes: "E_LIMIT_UNPACKED"},
		{name: "compressed", items: plus(file("./x", random(8000))), rules: limit(func(l *Limits) { l.Compressed = 1000 }), codes: "E_LIMIT_UNPACKED"},
		{name: "one file", items: plus(file("./x", random(8000))), rules: limit(func(l *Limits) { l.Entry = 7999 }), codes: "E_LIMIT_ENTRY_SIZE"},
		{name: "entries", items: plus(), rules: limit(func(l *Limits) { l.Entries = 11 }), codes: "E_LIMIT_ENTRIES"},
		{name: "levels", items: deep, codes: "E_LIMIT_DEPTH"},
		{name: "long path", items: plus(pax("path=./"+strings.Repeat("x/", 15)+strings.Repeat("y", 1000)), file("./x", "")), codes: "E_LIMIT_PATH"},
		{name: "a path that is one byte too long", items: longest(205), codes: "E_LIMIT_PATH"},
		{name: "long element", items: plus(pax("path=./"+strings.Repeat("x", 256)), file("./x", "")), codes: "E_LIMIT_PATH"},
	}
}

// random is text that does not compress.
func random(n int) string {
	b := make([]byte, n+8)
	state := uint64(88172645463325252)
	for i := 0; i < n; i += 8 {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		binary.LittleEndian.PutUint64(b[i:], state)
	}
	return string(b[:n])
}

func base256Size(n uint64) string {
	b := make([]byte, 12)
	b[0] = 0x80
	binary.BigEndian.PutUint64(b[4:], n)
	return string(b)
}

// oversizedMode is a header whose mode is a number of more than 63 bits, with a right checksum.
func oversizedMode() []byte {
	h := file("./x", "").block()
	copy(h[100:108], "\x90\x00\x00\x00\x00\x00\x00\x00")
	sum := int64(8 * ' ')
	for i, b := range h {
		if i < 148 || i >= 156 {
			sum += int64(b)
		}
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// wrapped is the good archive below a directory of its own, as tar makes it without -C.
func wrapped() []item {
	items := []item{dir("./"), dir("./dist/")}
	for _, i := range goodItems()[1:] {
		i.name = "./dist/" + strings.TrimPrefix(i.name, "./")
		items = append(items, i)
	}
	return items
}

func (a animal) archive() []byte {
	if a.items != nil {
		return tgz(a.items)
	}
	return a.data
}

func (a animal) check() Rules {
	r := testRules()
	if a.rules != nil {
		a.rules(&r)
	}
	return r
}

func TestGoodArchive(t *testing.T) {
	for name, items := range map[string][]item{
		"plain":         goodItems(),
		"names as root": changed("./index.html", func(i *item) { i.user, i.group = "root", "root" }),
		"GNU magic":     changed("./index.html", func(i *item) { i.magic = "ustar  \x00" }),
		"executable":    changed("./assets/app.js", func(i *item) { i.mode = 0o755 }),
		"longest path":  longest(204),
		"PAX path":      plus(pax("path=./"+strings.Repeat("ü", 100), "mtime=1767225600.5"), file("./u", "x")),
	} {
		if r := verify(t, testRules(), tgz(items)); !r.OK || len(r.Findings) > 0 {
			t.Errorf("%s: %v", name, r.Findings)
		}
	}
	links := plus(link("./x", "assets/../index.html"), link("./y", "x"), link("./z", "assets"))
	rules := testRules()
	rules.AllowSymlinks = true
	if r := verify(t, rules, tgz(links)); !r.OK || len(r.Findings) > 0 {
		t.Errorf("links inside: %v", r.Findings)
	}
}

// TestZoo: each hostile archive is refused with exactly its codes.
func TestZoo(t *testing.T) {
	animals := zoo()
	if len(animals) < 60 {
		t.Errorf("%d archives", len(animals))
	}
	for _, a := range animals {
		t.Run(a.name, func(t *testing.T) {
			done := time.AfterFunc(20*time.Second, func() { panic("hangs: " + a.name) })
			defer done.Stop()
			r := verify(t, a.check(), a.archive())
			if got := codes(r); got != a.codes {
				t.Errorf("codes %s, want %s", got, a.codes)
				for _, f := range r.Findings[:min(len(r.Findings), 5)] {
					t.Log(f)
				}
			}
			if onlyWarnings := !strings.Contains(a.codes, "E_") || a.codes == "E_MTIME_MIXED"; r.OK != onlyWarnings {
				t.Errorf("ok is %v", r.OK)
			}
		})
	}
}
