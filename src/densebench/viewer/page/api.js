// Questions to the server, which answers in JSON.

/** The answer to `route?parameters`; an Error with the server's sentence where it can't. */
export async function ask(route, parameters = {}) {
  const address = new URL(`./${route}`, import.meta.url);
  address.search = new URLSearchParams(parameters).toString();
  const response = await fetch(address);
  let content;
  try {
    content = await response.json();
  } catch {
    throw new Error(`The server's answer can't be read (${response.status}).`);
  }
  if (!response.ok) throw new Error(content.error ?? `The server answered ${response.status}.`);
  return content;
}
