package bundle

import (
	"bytes"
	_ "embed"
)

// The scripts share one file. Each names it in a line that imports it, so that they run
// from the source; as they are given away each is one file, with that file in the place
// of the line.
var (
	//go:embed verify.py
	verifyPy []byte
	//go:embed verify_receipt.py
	receiptPy []byte
	//go:embed verify_proof.py
	proofPy []byte
)

const importsProof = "from verify_proof import *\n"

// Script is verify.py as it lies in every bundle: a second implementation of Verify.
func Script() []byte { return whole(verifyPy) }

// ReceiptScript is verify_receipt.py, which does the same for receipts.
func ReceiptScript() []byte { return whole(receiptPy) }

func whole(script []byte) []byte {
	return bytes.Replace(script, []byte(importsProof), proofPy, 1)
}
