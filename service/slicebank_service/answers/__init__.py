"""What the routes answer: records of the catalogue as the JSON and files of the REST interface."""
