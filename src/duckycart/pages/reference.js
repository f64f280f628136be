"use strict";
// Swagger UI, from the server itself: it asks nobody else for anything.
window.SwaggerUIBundle({ url: "openapi.json", dom_id: "#reference", deepLinking: true, validatorUrl: null });
