package release

import "strings"

// Code names one kind of finding. Codes are stable: never renamed, never used again for something else.
type Code string

// What Verify can find in an archive, in the order of its checks.
const (
	SizeMismatch     Code = "E_SIZE_MISMATCH"
	SHA256Mismatch   Code = "E_SHA256_MISMATCH"
	SignatureMissing Code = "E_SIGNATURE_MISSING"
	SignatureInvalid Code = "E_SIGNATURE_INVALID"
	SignatureKey     Code = "E_SIGNATURE_KEY"
	SignatureComment Code = "E_SIGNATURE_COMMENT"
	GzipFormat       Code = "E_GZIP_FORMAT"
	GzipMultimember  Code = "E_GZIP_MULTIMEMBER"
	GzipChecksum     Code = "E_GZIP_CHECKSUM"
	TarFormat        Code = "E_TAR_FORMAT"
	Truncated        Code = "E_TRUNCATED"
	TrailingData     Code = "E_TRAILING_DATA"
	LimitUnpacked    Code = "E_LIMIT_UNPACKED"
	LimitRatio       Code = "E_LIMIT_RATIO"
	LimitEntries     Code = "E_LIMIT_ENTRIES"
	LimitEntrySize   Code = "E_LIMIT_ENTRY_SIZE"
	LimitPath        Code = "E_LIMIT_PATH"
	LimitDepth       Code = "E_LIMIT_DEPTH"
	Overflow         Code = "E_OVERFLOW"
	TypeForbidden    Code = "E_TYPE_FORBIDDEN"
	Hardlink         Code = "E_HARDLINK"
	SymlinkForbidden Code = "E_SYMLINK_FORBIDDEN"
	PaxGlobal        Code = "E_PAX_GLOBAL"
	Xattr            Code = "E_XATTR"
	NameAbsolute     Code = "E_NAME_ABSOLUTE"
	NameTraversal    Code = "E_NAME_TRAVERSAL"
	NameInvalid      Code = "E_NAME_INVALID"
	NameDuplicate    Code = "E_NAME_DUPLICATE"
	NameNFC          Code = "E_NAME_NFC"
	NameCasefold     Code = "E_NAME_CASEFOLD"
	ParentMissing    Code = "E_PARENT_MISSING"
	FileDirConflict  Code = "E_FILE_DIR_CONFLICT"
	SymlinkEscape    Code = "E_SYMLINK_ESCAPE"
	SymlinkDangling  Code = "E_SYMLINK_DANGLING"
	RootMissing      Code = "E_ROOT_MISSING"
	RootNotFirst     Code = "E_ROOT_NOT_FIRST"
	RootMode         Code = "E_ROOT_MODE"
	DirMode          Code = "E_DIR_MODE"
	FileMode         Code = "E_FILE_MODE"
	ModeSpecial      Code = "E_MODE_SPECIAL"
	ModeWritable     Code = "E_MODE_WRITABLE"
	Owner            Code = "E_OWNER"
	MtimeFuture      Code = "E_MTIME_FUTURE"
	MtimeMixed       Code = "E_MTIME_MIXED"
	MemberMissing    Code = "E_MEMBER_MISSING"
	MemberEmpty      Code = "E_MEMBER_EMPTY"
	MemberInvalid    Code = "E_MEMBER_INVALID"
	AssetMissing     Code = "E_ASSET_MISSING"
	AppManifest      Code = "E_APP_MANIFEST"
	FileDigest       Code = "E_FILE_DIGEST"
	FileExtra        Code = "E_FILE_EXTRA"
	FileAbsent       Code = "E_FILE_ABSENT"
	Order            Code = "W_ORDER"
)

// What a manifest.json can have wrong beside.
const (
	ManifestJSON       Code = "E_MANIFEST_JSON"
	ManifestField      Code = "E_MANIFEST_FIELD"
	ManifestVersion    Code = "E_MANIFEST_VERSION"
	ManifestDate       Code = "E_MANIFEST_DATE"
	ManifestComponents Code = "E_MANIFEST_COMPONENTS"
	ManifestURL        Code = "E_MANIFEST_URL"
	Expired            Code = "W_EXPIRED"
)

// What the backend and the other inputs of a release can have wrong.
const (
	Binary         Code = "E_BINARY"
	InputMissing   Code = "E_INPUT_MISSING"
	InputVersion   Code = "E_INPUT_VERSION"
	InputDate      Code = "E_INPUT_DATE"
	InputChangelog Code = "E_INPUT_CHANGELOG"
	InputCatalog   Code = "E_INPUT_CATALOG"
	InputURL       Code = "E_INPUT_URL"
	InputOut       Code = "E_INPUT_OUT"
)

// Severity is "error" or "warning"; only errors make a release bad.
func (c Code) Severity() string {
	if c == MtimeMixed || strings.HasPrefix(string(c), "W_") {
		return "warning"
	}
	return "error"
}
