package places

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// nanpaZones is the column TIME_ZONE of NANPA's NPA database of 2026-07-06 for
// geographic codes: the letters, then the codes that have them.
const nanpaZones = `
E 201 202 203 207 212 215 216 220 223 226 227 229 231 234 239 240 242 248 249 252 260 263 267 269 272 273 276 283 289 301 302 304 305
E 313 315 317 321 324 326 329 330 332 336 339 343 345 347 351 352 354 363 365 367 380 382 386 401 404 407 410 412 413 416 418 419
E 434 436 437 438 440 443 445 450 463 465 468 470 472 475 478 484 502 508 513 514 516 517 518 519 540 548 551 561 565 567 570 571
E 579 581 582 585 586 603 607 609 610 613 614 616 617 624 631 640 645 646 647 649 656 658 667 678 679 680 681 683 686 689 703 704
E 705 706 716 717 718 724 727 728 732 734 740 742 743 753 754 757 761 762 765 770 771 772 774 781 786 802 803 804 810 813 814 819
E 821 826 828 829 835 838 839 843 845 848 849 854 856 857 859 860 862 863 864 865 873 876 878 904 905 908 910 912 914 917 919 929
E 930 934 937 941 942 943 947 948 954 959 973 978 980 984 989
C 204 205 210 214 217 218 224 225 228 235 251 254 256 262 274 281 306 309 312 314 316 318 319 320 325 327 331 334 337 346 353 361
C 402 405 409 414 417 430 431 432 447 457 464 469 471 474 479 483 501 504 507 512 515 531 534 539 557 563 572 573 580 584 601 608
C 612 615 618 621 629 630 636 639 641 651 659 660 662 682 708 712 713 715 726 730 731 737 763 769 773 779 806 815 816 817 830 832
C 847 861 870 872 901 903 913 918 920 924 936 938 940 945 952 956 972 975 979 985
M 303 307 368 385 403 406 435 480 505 520 575 587 602 623 719 720 748 780 801 825 928 970 983
P 206 209 213 236 250 253 257 279 310 323 341 350 357 360 369 408 415 424 425 442 503 509 510 530 559 562 564 604 619 626 628 650
P 657 661 669 672 702 707 714 725 738 747 760 778 805 818 820 831 837 840 858 909 916 925 949 951 971 986
A 246 264 268 284 340 428 441 473 506 664 721 758 767 782 784 787 809 868 869 902 939
N 709 879
EC 219 270 364 423 448 574 606 729 807 812 850 906 931
CM 308 605 620 701 785 915
CMP 867
MP 208 458 541 775`

// letters are what NANPA means by them, south of its border and north of it.
var letters = map[byte][]string{
	'E': {"America/New_York", "America/Jamaica"},
	'C': {"America/Chicago", "America/Winnipeg", "America/Regina"},
	'M': {"America/Denver", "America/Phoenix", "America/Edmonton"},
	'P': {"America/Los_Angeles", "America/Vancouver"},
	'A': {"America/Puerto_Rico", "America/Halifax"},
	'N': {"America/St_Johns"},
}

// wrongLetters: the Dominican Republic has Atlantic time, as NANPA says of 809, and
// Yukon left Pacific time in 2020.
var wrongLetters = map[string]string{"829": "E", "849": "E", "867": "P"}

// TestNoNarrowerThanNANPA: every zone that the plan's own administrator gives an area
// code is kept there, by one of the clocks that the letter may mean.
func TestNoNarrowerThanNANPA(t *testing.T) {
	asked := 0
	for line := range strings.Lines(strings.TrimSpace(nanpaZones)) {
		zones, codes, _ := strings.Cut(strings.TrimSpace(line), " ")
		for code := range strings.FieldsSeq(codes) {
			npa, err := strconv.Atoi(code)
			if err != nil {
				t.Fatal(err)
			}
			s := OfNumber(number(npa))
			if s == OfNumber(number(800)) {
				t.Errorf("%d is in no line of its own", npa)
			}
			asked++
			missing := ""
			for _, letter := range []byte(zones) {
				found := false
				for _, z := range letters[letter] {
					found = found || len(using(s.Places, mustLoad(t, z))) > 0
				}
				if !found {
					missing += fmt.Sprintf("%c", letter)
				}
			}
			if missing != wrongLetters[code] {
				t.Errorf("%s is %s at NANPA; missing here %q, known to be wrong there %q: %s", code, zones, missing, wrongLetters[code], names(s))
			}
		}
	}
	// Alaska, Hawaii, Guam, the Marianas and Samoa have no letter.
	if asked != 454+3-5 {
		t.Errorf("%d codes of 452", asked)
	}
}
