/** How are sums and names of the till written in the language in use? */

import { money } from "@/app/format";
import { language } from "@/app/i18n";
import { type Cents, decimalOf } from "./money";
import type { Bilingual } from "./products";
import { currency } from "./till";

export const amount = (cents: Cents): string => money(decimalOf(cents), currency.value);

/** The name in the language in use, or in the other one when there is none. */
export const nameIn = (name: Bilingual): string => name[language.value] || name.fr || name.en;
