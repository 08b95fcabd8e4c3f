/** A new version waits until the person takes it: nothing changes under somebody's hands. */
import { readonly, ref } from "vue";

const waiting = ref<ServiceWorker | null>(null);

/** The version that waits, if there is one. */
export const update = readonly(waiting);

/** Take it: every open page is loaded anew. */
export function takeUpdate(): void {
  navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
  waiting.value?.postMessage({ type: "SKIP_WAITING" });
}

/** Keeps the pages for when there is no network. After the first page is there, so that it costs that page nothing. */
export async function keepOffline(): Promise<void> {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  const registration = await navigator.serviceWorker.register("/sw.js", { updateViaCache: "none" });
  const look = () => {
    if (registration.waiting && navigator.serviceWorker.controller) waiting.value = registration.waiting;
  };
  look();
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", look));
  setInterval(() => void registration.update().catch(() => undefined), 30 * 60_000);
}
