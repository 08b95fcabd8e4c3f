export default {
  fr: { title: "Accueil" },
  en: { title: "Home" },
};
