-- Run once, when the volume is empty. The image itself creates the registry's database, `hallmark`.
CREATE DATABASE prefect;
