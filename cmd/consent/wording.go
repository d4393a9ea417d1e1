package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// wordingFileBytesMax bounds what is read of a file; the server takes 32 KiB.
const wordingFileBytesMax = 1 << 20

func wordingCommand(g *globals) *cobra.Command {
	parent := &cobra.Command{
		Use:   "wording",
		Short: "Texts that people are shown",
		Long:  "Publish the texts that people are shown, so that an export shows what somebody agreed to.",
	}
	var text, file, language string
	add := &cobra.Command{
		Use:   "add ID (--text T | --file F) [--language en-US]",
		Short: "Publish the text that people are shown",
		Long: `Publish the whole text that people are shown when they are asked, with the third
parties it names. Facts name it by its id (wording=ID, the column wording in a file),
and every export of such a fact shows the text, with a proof of when it was published.

An id has one text for ever: the same again adds nothing, another text is refused.
Publish before you use it: a court sees which came first.`,
		Example: `  consent wording add web-2026-01 --file consent-form.txt --language en-US
  consent grant +12025550143 --seller acme --channel sms --purpose marketing --level express_written --wording web-2026-01`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if (text == "") == (file == "") {
				return usagef("name --text or --file, one of them")
			}
			if file != "" {
				raw, err := readBounded(file, wordingFileBytesMax)
				if err != nil {
					return fmt.Errorf("--file: %w", err)
				}
				text = string(raw)
			}
			return g.recordOne(c, &consentv1.Fact{Source: ledger.ProgramSource, EventId: ledger.WordingEventID(args[0]), Kind: &consentv1.Fact_WordingPublished{
				WordingPublished: &consentv1.WordingPublished{Id: args[0], Text: text, Language: language}}}, true)
		},
	}
	add.Flags().StringVar(&text, "text", "", "the text")
	add.Flags().StringVar(&file, "file", "", "a file with the text, in UTF-8")
	add.Flags().StringVar(&language, "language", "", "the text's language, as in HTML: en-US")
	parent.AddCommand(add)
	return parent
}
