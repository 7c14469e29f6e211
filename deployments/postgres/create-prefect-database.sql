-- Run once, when the volume is empty. The database `hallmark` of the registry is made by the image itself.
CREATE DATABASE prefect;
