/** What a browser says about a field that isn't right is said in its own language, which may be another than the page's: we say it ourselves. */
import { t } from "./i18n";

type Field = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

const isField = (target: EventTarget | null): target is Field =>
  target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;

export function faultIn(field: Field): string {
  const { valueMissing, rangeUnderflow, rangeOverflow } = field.validity;
  if (valueMissing) return t("ui.missing");
  if (rangeUnderflow) return t("ui.too_small", { min: (field as HTMLInputElement).min });
  if (rangeOverflow) return t("ui.too_large", { max: (field as HTMLInputElement).max });
  return t("ui.mistyped");
}

/** Called once, by main.ts. A message of ours would itself make the field wrong, so it goes with the next change. */
export function speakOurLanguage(page: Document = document): void {
  page.addEventListener("invalid", ({ target }) => {
    if (!isField(target)) return;
    target.setCustomValidity("");
    if (!target.validity.valid) target.setCustomValidity(faultIn(target));
  }, true);
  for (const change of ["input", "change"]) page.addEventListener(change, ({ target }) => isField(target) && target.setCustomValidity(""), true);
}
